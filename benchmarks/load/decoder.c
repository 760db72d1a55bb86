/* Content codings. A stream has no end, so the decoder must return all text of a piece at once. */
#include "load.h"

#include <stdlib.h>
#include <string.h>

#if __has_include(<zlib.h>) && !defined(NO_ZLIB)
#define WITH_ZLIB 1
#include <zlib.h>
#endif
#if __has_include(<zstd.h>) && !defined(NO_ZSTD)
#define WITH_ZSTD 1
#include <zstd.h>
#endif

enum { PIECE = 1 << 18, WINDOW = 15, EITHER = 32 /* zlib accepts a gzip or a zlib header */ };

struct Decoder {
    void *state;
    void (*step)(struct Decoder *, const char **from, const char *end, char **to, char *to_end);
};

#ifdef WITH_ZLIB
static void step_zlib(struct Decoder *d, const char **from, const char *end, char **to, char *to_end) {
    z_stream *z = d->state;
    z->next_in = (Bytef *)*from, z->avail_in = end - *from;
    z->next_out = (Bytef *)*to, z->avail_out = to_end - *to;
    int code = inflate(z, Z_SYNC_FLUSH);
    if (code == Z_STREAM_END) die("gzip", "the stream has a trailer: it ended");
    if (code != Z_OK && code != Z_BUF_ERROR) die("gzip", z->msg ? z->msg : "cannot be decoded");
    *from = (char *)z->next_in, *to = (char *)z->next_out;
}

static int open_zlib(struct Decoder *d) {
    d->step = step_zlib;
    d->state = calloc(1, sizeof(z_stream));
    return inflateInit2((z_stream *)d->state, WINDOW + EITHER) == Z_OK;
}
#endif

#ifdef WITH_ZSTD
static void step_zstd(struct Decoder *d, const char **from, const char *end, char **to, char *to_end) {
    ZSTD_inBuffer in = {*from, end - *from, 0};
    ZSTD_outBuffer out = {*to, to_end - *to, 0};
    size_t code = ZSTD_decompressStream(d->state, &out, &in);
    if (ZSTD_isError(code)) die("zstd", ZSTD_getErrorName(code));
    *from += in.pos, *to += out.pos;
}

static int open_zstd(struct Decoder *d) {
    d->step = step_zstd;
    return (d->state = ZSTD_createDStream()) != NULL;
}
#endif

struct Decoder *new_decoder(const char *name, int size) {
    struct Decoder *d = calloc(1, sizeof *d);
    (void)size;
#ifdef WITH_ZLIB
    if (size == 4 && !memcmp(name, "gzip", 4) && open_zlib(d)) return d;
#endif
#ifdef WITH_ZSTD
    if (size == 4 && !memcmp(name, "zstd", 4) && open_zstd(d)) return d;
#endif
    die("this load was built without the coding", strndup(name, size));
    return NULL;
}

void decode(struct Decoder *d, const char *from, long size, void (*take)(Reader *, const char *, long), Reader *r) {
    static char text[PIECE];
    const char *end = from + size;
    for (int full = 0; from < end || full;) {
        char *to = text;
        d->step(d, &from, end, &to, text + PIECE);
        full = to == text + PIECE;
        if (to > text) take(r, text, to - text);
        else if (from == end) return;
    }
}
