"""The HTTP server: the application, its routes, authentication, the checks of each request, and the transport."""
