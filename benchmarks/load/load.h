/* What the parts of the load share: the options, the readers, and the counts. */
#ifndef LOAD_H
#define LOAD_H
#define _GNU_SOURCE
#include <stdint.h>

enum { CARRY = 16384, MOST_US = 4000000, MOST_BATCH = 4096 };

typedef struct {
    const char *host, *get, *post, *headers, *prefix, *suffix, *encoding, *stalled_get;
    int port, pub_port, readers, full, urlencode, symbols, watch, batch, window, stalled, conflated, behind, missed;
    double rate, seconds, fill;
} Options;

typedef struct {
    int fd, head_seen, chunked, in_data, data_seen, carry_size;
    long chunk_left;
    long number, last; /* of the event being read, and of the newest complete one */
    int symbol;        /* of the event being read; kept only where events may be left out */
    int64_t ts, opened, first_at, caught_at;
    long received;
    char *carry; /* the beginning of a line (or of the head) that is not complete */
    struct Decoder *decoder;
} Reader;

/* What came back. `measuring` says whether it counts; only what was published since `begun_at` does. */
typedef struct {
    long deliveries, complete, lost, repeated, bytes;
    int measuring, heads, firsts, caught, decoded;
    int64_t begun_at, last_receipt, opened_at, first_at;
    uint32_t *ages, *spacings; /* by microsecond: from publish to receipt; between two quotes of one symbol */
} Counts;

/* What was published. Numbers are those of a symbol where readers have watchlists, else of all events. */
typedef struct {
    long count, newest, expected, late, *next_of;
    int *wanted_by; /* by symbol: how many readers */
} Published;

extern Options opt;
extern Reader *readers;
extern Counts counts;
extern Published published;

/* load.c */
int64_t now_us(void);
void die(const char *what, const char *detail);
void turn(int wait_ms);
int dial(int port, int stalled);
void watch_fd(int fd, uint64_t tag);

/* reader.c */
void make_readers(void);
void open_readers(int from, int to, const char *header);
void open_stalled(void);
void read_stream(Reader *r);
int all_have(long least);
void start_anew(void);
void expect_numbers(long first, long last);
long not_newest(void);
const char *newest_id(void); /* that reader 0 has got */
void hang_up(Reader *r);

/* publisher.c */
void make_publisher(void);
void read_answer(void);
int publish(int count, int in_turn);

/* decoder.c: the coding of a response, undone piece by piece; `take` gets what comes out. */
struct Decoder *new_decoder(const char *name, int size);
void decode(struct Decoder *d, const char *from, long size, void (*take)(Reader *, const char *, long), Reader *r);
#endif
