# One process behind Varnish.
#
#     tickwire serve --trusted-proxies 127.0.0.1
vcl 4.1;

backend tickwire {
    .host = "127.0.0.1";
    .port = "8000";
}

sub vcl_recv {
    # Connect the client to the server directly. Otherwise, Varnish holds back the first events of a quiet stream.
    if (req.url ~ "^/v1/stream") {
        return (pipe);
    }
    # Do not cache prices.
    return (pass);
}
