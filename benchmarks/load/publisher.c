/* The publisher: one pipelined connection, so that events reach the server in the order of their numbers. */
#include "load.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PIPELINE = 64 };

static struct {
    int fd, under_way, size;
    char answer[65536];
} publisher;
static int price_of[MOST_BATCH]; /* in cents */

static void open_publisher(void) {
    publisher.size = 0;
    watch_fd(publisher.fd = dial(opt.pub_port, 0), opt.readers);
}

void make_publisher(void) {
    for (int s = 0; s < MOST_BATCH; s++) price_of[s] = 18724;
    open_publisher();
}

/* A server may close an idle connection. The next request then opens a new connection. */
static void lose(const char *why) {
    if (publisher.under_way) die("publishing", why);
    close(publisher.fd);
    publisher.fd = -1;
}

int all_answered(void) {
    return !publisher.under_way;
}

/* Return the size of the first complete response, or 0 if no response is complete. */
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
    if (n <= 0) {
        lose(n ? strerror(errno) : "closed by the server");
        return;
    }
    publisher.size += n;
    text[publisher.size] = 0;
    while ((n = answer_size(text, text + publisher.size))) {
        if (text[9] != '2') die("publishing was refused", text);
        memmove(text, text + n, publisher.size - n + 1);
        publisher.size -= n;
        publisher.under_way--;
    }
}

/* Prices and sizes vary as in a market, because equal quotes would compress too well. */
static int quote(char *to, int symbol, long number, int64_t ts) {
    int r = rand(), bid = price_of[symbol] += r % 7 - 3, spread = 1 + r / 7 % 4, lot = 100 * (1 + r / 28 % 40);
    int n = sprintf(to, "{\"symbol\":\"S%d\",\"last\":%ld,\"bid\":%d.%02d,\"ask\":%d.%02d,\"bid_size\":%d,\"ask_size\":%d,",
                    symbol, number, bid / 100, bid % 100, (bid + spread) / 100, (bid + spread) % 100, lot,
                    100 * (1 + r / 1120 % 40));
    if (opt.full)
        return n + sprintf(to + n,
                           "\"volume\":%ld,\"turnover\":%ld.%02d,\"open\":186.1,\"high\":198.02,\"low\":175.9,"
                           "\"prev_close\":186.05,\"change\":%d.%02d,\"change_rate\":%d.%03d,\"vwap\":187.%02d,"
                           "\"pe\":28.%d,\"market_cap\":28%d,\"ts\":%lld}",
                           1200345 + number * 7 + lot, 225000000 + number * 131 + r % 1000, r % 100, r / 3 % 9, r % 100,
                           r / 5 % 5, r % 1000, r / 11 % 100, r / 13 % 10, 500000000 + r % 499999999, (long long)ts);
    return n + sprintf(to + n, "\"size\":%d,\"ts\":%lld}", 100 * (1 + r / 44800 % 20), (long long)ts);
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
    if (publisher.fd < 0) open_publisher();
    struct iovec parts[2] = {{head, n}, {(void *)payload, size}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    if (sendmsg(publisher.fd, &message, 0) != n + size) die("publishing", "the socket took only a part");
    publisher.under_way++;
}

/* Publish `count` quotes in one request, of the symbols in turn or of random symbols. Return 0 if too many requests are
 * in flight. */
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

/* Publish `count` events: in one request if the prefix begins an array, otherwise in one request per event. */
int publish(int count, int in_turn) {
    if (count == 1 || *opt.prefix == '[') return publish_together(count, in_turn);
    if (publisher.under_way + count > PIPELINE) return 0;
    while (count--) publish_together(1, in_turn);
    return 1;
}
