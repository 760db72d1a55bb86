/* The limit: one thread with one send(2) per reader and event. GET opens a stream, POST publishes an event.
 *
 *   limit PORT
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST = 65536 };

static char *input[MOST];
static int filled[MOST], readers[MOST], count;

static const char HEAD[] = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
static const char TAKEN[] = "HTTP/1.1 204 No Content\r\n\r\n";

static void broadcast(const char *body, int size) {
    static long number;
    char event[65536], whole[65600];
    int n = sprintf(event, "id: limit-%ld\ndata: %.*s\n\n", ++number, size, body);
    n = sprintf(whole, "%x\r\n%.*s\r\n", n, n, event);
    for (int i = 0; i < count; i++) send(readers[i], whole, n, MSG_NOSIGNAL);
}

/* Answer the first request in the text. Return its size, or 0 if the request is incomplete. */
static int answer(int fd, const char *text, const char *end) {
    const char *body = strstr(text, "\r\n\r\n"), *length = strcasestr(text, "content-length:");
    if (!body) return 0;
    body += 4;
    if (text[0] == 'G') {
        readers[count++] = fd;
        send(fd, HEAD, sizeof HEAD - 1, MSG_NOSIGNAL);
        return body - text;
    }
    int size = length && length < body ? atoi(length + 15) : 0;
    if (end - body < size) return 0;
    broadcast(body, size);
    send(fd, TAKEN, sizeof TAKEN - 1, MSG_NOSIGNAL);
    return body + size - text;
}

static void take(int fd) {
    char *text = input[fd];
    int n = recv(fd, text + filled[fd], 65535 - filled[fd], 0);
    if (n <= 0) {
        close(fd);
        filled[fd] = 0;
        for (int i = 0; i < count; i++)
            if (readers[i] == fd) readers[i--] = readers[--count];
        return;
    }
    filled[fd] += n;
    text[filled[fd]] = 0;
    while ((n = answer(fd, text, text + filled[fd]))) {
        filled[fd] -= n;
        memmove(text, text + n, filled[fd] + 1);
    }
}

int main(int arguments, char **given) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(arguments > 1 ? atoi(given[1]) : 8000)};
    struct epoll_event events[1024], event = {.events = EPOLLIN};
    struct rlimit files;
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0), epoll = epoll_create1(0);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) {
        perror("limit");
        return 1;
    }
    event.data.fd = listener;
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int ready = epoll_wait(epoll, events, 1024, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd != listener) {
                take(fd);
                continue;
            }
            fd = accept(listener, NULL, NULL);
            if (fd < 0 || fd >= MOST) continue;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            if (!input[fd]) input[fd] = malloc(65536);
            event.data.fd = fd;
            epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
        }
    }
}
