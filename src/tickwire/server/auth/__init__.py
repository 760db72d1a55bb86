"""Authentication and authorization: find and verify the credential of a request, and check the rights of the client."""
