"""What several tests need: databases with a twist, backups with damage, servers, programs to be killed."""
