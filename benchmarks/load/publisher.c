/* The publisher: one connection, pipelined, so that events reach the server in the order of their numbers. */
#include "load.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { PIPELINE = 64 };

static struct {
    int fd, under_way, size;
    char answer[65536];
} publisher;

void open_publisher(uint64_t tag) {
    watch_fd(publisher.fd = dial(opt.pub_port, 0), tag);
}

/* The size of the first complete answer; 0 while there is none. */
static long answer_size(const char *text, const char *end) {
    const char *body = strstr(text, "\r\n\r\n"), *length = strcasestr(text, "\ncontent-length:"), *last;
    if (!body) return 0;
    body += 4;
    if (length && length < body) {
        body += atol(length + 16);
        return body <= end ? body - text : 0;
    }
    length = strcasestr(text, "chunked");
    if (!length || length > body) return body - text;
    last = strstr(body - 2, "\r\n0\r\n\r\n");
    return last ? last + 7 - text : 0;
}

void read_answer(void) {
    char *text = publisher.answer;
    long n = recv(publisher.fd, text + publisher.size, sizeof publisher.answer - 1 - publisher.size, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) die("publishing", n ? strerror(errno) : "closed by the server");
    publisher.size += n;
    text[publisher.size] = 0;
    while ((n = answer_size(text, text + publisher.size))) {
        if (text[9] != '2') die("publishing was refused", text);
        memmove(text, text + n, publisher.size - n + 1);
        publisher.size -= n;
        publisher.under_way--;
    }
}

static int quote(char *to, int symbol, long number, int64_t ts) {
    if (opt.full)
        return sprintf(to,
                       "{\"symbol\":\"S%d\",\"last\":%ld,\"bid\":187.24,\"ask\":187.26,\"bid_size\":300,\"ask_size\":200,"
                       "\"volume\":1200345,\"turnover\":225000000.25,\"open\":186.1,\"high\":188.02,\"low\":185.9,"
                       "\"prev_close\":186.05,\"change\":1.2,\"change_rate\":0.645,\"vwap\":187.02,\"pe\":28.4,"
                       "\"market_cap\":2890000000000,\"ts\":%lld}",
                       symbol, number, (long long)ts);
    return sprintf(to,
                   "{\"symbol\":\"S%d\",\"last\":%ld,\"bid\":187.24,\"ask\":187.26,\"bid_size\":300,\"ask_size\":200,"
                   "\"size\":100,\"ts\":%lld}",
                   symbol, number, (long long)ts);
}

static int next_quote(char *to, int in_turn, int64_t now) {
    static int turn;
    int symbol = in_turn ? turn++ % opt.symbols : rand() % opt.symbols;
    long number = opt.watch ? published.next_of[symbol] : published.newest++;
    published.next_of[symbol] = number + 1;
    published.count++;
    if (counts.measuring) published.expected += published.wanted_by[symbol];
    return quote(to, symbol, number, now);
}

static int encoded(char *to, const char *from, int size) {
    char *start = to;
    for (int i = 0; i < size; i++)
        if (isalnum((unsigned char)from[i])) *to++ = from[i];
        else to += sprintf(to, "%%%02X", (unsigned char)from[i]);
    return to - start;
}

static void post(const char *payload, int size) {
    char head[4096];
    int n = sprintf(head, "POST %s HTTP/1.1\r\nHost: %s:%d\r\n%s%sContent-Length: %d\r\n\r\n", opt.post, opt.host,
                    opt.pub_port, opt.headers, *opt.headers ? "\r\n" : "", size);
    struct iovec parts[2] = {{head, n}, {(void *)payload, size}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    if (sendmsg(publisher.fd, &message, 0) != n + size) die("publishing", "the socket took only a part");
    publisher.under_way++;
}

/* Publish `count` events in one request, of symbols taken in turn or at random; 0 if too many requests are under way. */
static int publish_together(int count, int in_turn) {
    static char body[MOST_BATCH * 512], escaped[MOST_BATCH * 512];
    if (publisher.under_way >= PIPELINE) return 0;
    int64_t now = now_us();
    int size = sprintf(body, "%s", opt.prefix), fixed = size;
    for (int i = 0; i < count; i++) {
        if (i) body[size++] = ',';
        size += next_quote(body + size, in_turn, now);
    }
    char *payload = body;
    if (opt.urlencode) {
        memcpy(payload = escaped, body, fixed);
        size = fixed + encoded(escaped + fixed, body + fixed, size - fixed);
    }
    size += sprintf(payload + size, "%s", opt.suffix);
    post(payload, size);
    return 1;
}

/* As above; servers that take one event at a time (no array in the prefix) get each in a request of its own. */
int publish(int count, int in_turn) {
    if (count == 1 || *opt.prefix == '[') return publish_together(count, in_turn);
    if (publisher.under_way + count > PIPELINE) return 0;
    while (count--) publish_together(1, in_turn);
    return 1;
}
