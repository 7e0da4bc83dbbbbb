"""verifying"""
