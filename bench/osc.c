/* The other side of to-osc, and its peer in C.
 *
 *     osc hear PORT                    counts datagrams and bytes until SIGTERM
 *     osc deaf PORT                    binds the port and reads nothing
 *     osc calls PORT BYTES             datagrams a second: send, sendmmsg, UDP_SEGMENT
 *     osc liblo PORT CH SAMPLES SEC    sends as a program with liblo does; messages sent
 *
 * Each message of liblo's is built number by number and sent, as its users do. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <lo/lo.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t ended;

static void end(int signal)
{
    (void)signal;
    ended = 1;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static int hear(int port, int reads)
{
    enum { N = 64, SIZE = 65536 };
    static char room[N][SIZE];
    struct mmsghdr all[N];
    struct iovec parts[N];
    int s = socket(AF_INET, SOCK_DGRAM, 0), wanted = 4 << 20;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (reads)
        setsockopt(s, SOL_SOCKET, SO_RCVBUF, &wanted, sizeof wanted);
    struct timeval wait = {.tv_usec = 20000};
    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    if (bind(s, (struct sockaddr *)&a, sizeof a))
        return 1;
    memset(all, 0, sizeof all);
    for (int i = 0; i < N; i++) {
        parts[i] = (struct iovec){room[i], SIZE};
        all[i].msg_hdr.msg_iov = &parts[i];
        all[i].msg_hdr.msg_iovlen = 1;
    }
    printf("ready\n");
    fflush(stdout);
    long datagrams = 0, bytes = 0;
    while (!ended) {
        if (!reads) {
            usleep(1000);
            continue;
        }
        int n = recvmmsg(s, all, N, MSG_WAITFORONE, NULL);
        for (int i = 0; i < n; i++)
            bytes += all[i].msg_len;
        datagrams += n > 0 ? n : 0;
    }
    printf("%ld %ld\n", datagrams, bytes);
    return 0;
}

static int liblo(const char *port, int channels, int samples, double seconds)
{
    lo_address to = lo_address_new("127.0.0.1", port);
    int count = channels * samples;
    float *numbers = malloc(count * sizeof *numbers);
    for (int i = 0; i < count; i++)
        numbers[i] = i;
    char address[64] = "/data/sample";
    if (samples > 1)
        snprintf(address, sizeof address, "/data/batch/%d", samples);
    long sent = 0;
    double begun = now(), until = begun + seconds;
    while (now() < until) {
        lo_message message = lo_message_new();
        if (samples > 1)
            lo_message_add_int32(message, channels);
        for (int i = 0; i < count; i++)
            lo_message_add_float(message, numbers[i]);
        sent += lo_send_message(to, address, message) > 0;
        lo_message_free(message);
    }
    printf("%ld %.6f\n", sent, now() - begun);
    return 0;
}

/* The same datagrams in one call each, in one for many, and as one buffer. */
static int calls(int port, int bytes)
{
    enum { N = 64, SECONDS = 1 };
    static char room[65507];
    int many = 65000 / bytes < N ? 65000 / bytes : N;
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(s, (struct sockaddr *)&a, sizeof a))
        return 1;
    struct mmsghdr all[N];
    struct iovec parts[N];
    memset(all, 0, sizeof all);
    for (int i = 0; i < N; i++) {
        parts[i] = (struct iovec){room, bytes};
        all[i].msg_hdr.msg_iov = &parts[i];
        all[i].msg_hdr.msg_iovlen = 1;
    }
    for (int way = 0; way < 3; way++) {
        int each = way == 2 ? bytes : 0;
        if (way == 2 && setsockopt(s, IPPROTO_UDP, 103, &each, sizeof each))
            return 1;
        long sent = 0;
        double begun = now();
        while (now() < begun + SECONDS) {
            if (way == 0)
                sent += send(s, room, bytes, 0) > 0;
            else if (way == 1)
                sent += sendmmsg(s, all, N, 0);
            else
                sent += send(s, room, many * bytes, 0) > 0 ? many : 0;
        }
        printf("%.0f ", sent / (now() - begun));
    }
    printf("\n");
    return 0;
}

int main(int argc, char **argv)
{
    signal(SIGTERM, end);
    if (argc == 3)
        return hear(atoi(argv[2]), !strcmp(argv[1], "hear"));
    if (argc == 4)
        return calls(atoi(argv[2]), atoi(argv[3]));
    if (argc == 6)
        return liblo(argv[2], atoi(argv[3]), atoi(argv[4]), atof(argv[5]));
    return 2;
}
