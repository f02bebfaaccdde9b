/* Receives OSC as liblo does, and writes each message as a line: its address, its type tags,
 * and its numbers.
 *
 *     receiver udp|tcp|unix PORT-OR-PATH MESSAGES
 *
 * It says "ready" first, and ends after so many messages, or after 20 s. */
#include <lo/lo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int left;

static int take(const char *path, const char *types, lo_arg **argv, int argc,
                lo_message message, void *user)
{
    (void)message;
    (void)user;
    printf("%s %s", path, types);
    for (int i = 0; i < argc; i++) {
        switch (types[i]) {
        case 'i': printf(" %d", argv[i]->i); break;
        case 'f': printf(" %.9g", argv[i]->f); break;
        case 's': printf(" %s", &argv[i]->s); break;
        case 't': printf(" %u.%u", argv[i]->t.sec, argv[i]->t.frac); break;
        case 'b': printf(" [%u]", lo_blob_datasize((lo_blob)argv[i])); break;
        }
    }
    printf("\n");
    left--;
    return 0;
}

static void failed(int number, const char *what, const char *where)
{
    fprintf(stderr, "liblo: %d %s %s\n", number, what, where ? where : "");
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    int proto = !strcmp(argv[1], "tcp")    ? LO_TCP
                : !strcmp(argv[1], "unix") ? LO_UNIX
                                           : LO_UDP;
    left = atoi(argv[3]);
    lo_server server = lo_server_new_with_proto(argv[2], proto, failed);
    if (!server)
        return 1;
    lo_server_enable_queue(server, 0, 1);
    lo_server_add_method(server, NULL, NULL, take, NULL);
    printf("ready\n");
    fflush(stdout);
    for (int i = 0; i < 200 && left > 0; i++)
        lo_server_recv_noblock(server, 100);
    lo_server_free(server);
    return 0;
}
