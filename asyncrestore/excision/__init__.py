"""excision"""
