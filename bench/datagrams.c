/* A UDP receiver that writes down when each datagram came and how it begins:
 *
 *   datagrams PORT LOG
 *
 * Prints the port it has (PORT 0: any), then, after SIGTERM, one line of JSON with what came
 * and what the kernel dropped for want of buffer. The log has 48 bytes for each datagram: its
 * time (ns, CLOCK_MONOTONIC), its length, and of its first OSC message the first type tag and
 * the eight words after the tags.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { AT_ONCE = 64, LONGEST = 65536, WORDS = 8 };

static struct entry {
    int64_t ns;
    uint32_t length, tag;
    unsigned char words[4 * WORDS];
} log_[4096];

/* Zeros behind each, so that a cut message is read to no harm. */
static unsigned char buffers[AT_ONCE][LONGEST + 256];
static struct iovec parts[AT_ONCE];
static struct mmsghdr messages[AT_ONCE];
static char control[AT_ONCE][CMSG_SPACE(sizeof(uint32_t))];
static volatile sig_atomic_t over;

static void stop(int signal) { (void)signal; over = 1; }

static void fail(const char *what) {
    perror(what);
    exit(1);
}

/* The end of an OSC string: after its zeros. */
static unsigned char *after(unsigned char *text, unsigned char *end) {
    unsigned char *zero = memchr(text, 0, end - text);
    return zero ? text + ((zero - text) / 4 + 1) * 4 : end;
}

static void note_message(unsigned char *from, unsigned char *end, struct entry *entry) {
    memset(end, 0, 256);
    if (end - from > 20 && !memcmp(from, "#bundle", 8)) from += 20;
    unsigned char *tags = after(from, end);
    entry->tag = tags[1];
    memcpy(entry->words, after(tags, end), sizeof entry->words);
}

int main(int argc, char **argv) {
    if (argc < 3) return fprintf(stderr, "usage: datagrams PORT LOG\n"), 2;
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGTERM, &action, NULL);
    int fd = socket(AF_INET, SOCK_DGRAM, 0), on = 1;
    setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof on);
    /* The kernel gives what net.core.rmem_max allows. */
    int buffer = 8 << 20;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    if (bind(fd, (void *)&at, size) || getsockname(fd, (void *)&at, &size)) fail("bind");
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);
    FILE *log = fopen(argv[2], "wb");
    if (!log) fail(argv[2]);

    uint64_t count = 0, bytes = 0;
    uint32_t dropped = 0;
    size_t held = 0;
    while (!over) {
        for (int i = 0; i < AT_ONCE; i++) {
            parts[i] = (struct iovec){buffers[i], LONGEST};
            messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1,
                .msg_control = control[i], .msg_controllen = sizeof control[i]};
        }
        int n = recvmmsg(fd, messages, AT_ONCE, MSG_WAITFORONE, NULL);
        if (n < 0) continue;
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        for (int i = 0; i < n; i++) {
            struct entry *entry = &log_[held++];
            entry->ns = now.tv_sec * 1000000000LL + now.tv_nsec;
            entry->length = messages[i].msg_len;
            note_message(buffers[i], buffers[i] + messages[i].msg_len, entry);
            struct cmsghdr *note = CMSG_FIRSTHDR(&messages[i].msg_hdr);
            if (note && note->cmsg_type == SO_RXQ_OVFL) memcpy(&dropped, CMSG_DATA(note), sizeof dropped);
            bytes += messages[i].msg_len;
            if (held == sizeof log_ / sizeof *log_) {
                if (fwrite(log_, sizeof *log_, held, log) != held) fail(argv[2]);
                held = 0;
            }
        }
        count += n;
    }
    if (fwrite(log_, sizeof *log_, held, log) != held || fclose(log)) fail(argv[2]);
    printf("{\"datagrams\": %lu, \"bytes\": %lu, \"kernel_drops\": %u}\n", count, bytes, dropped);
}
