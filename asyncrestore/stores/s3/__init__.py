"""The store on S3 and on servers that speak its protocol."""
