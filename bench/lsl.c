/* An outlet in C, as one writes it against liblsl: what to-lsl is compared with.
 *
 *     lsl live NAME CHANNELS RATE SECONDS     one push_sample at a time, in real time
 *     lsl burst NAME CHANNELS SAMPLES CHUNK   push_chunk, as fast as it goes
 *
 * Waits for a consumer, and tells the CPU time of the whole process in us a sample. Link it
 * with liblsl.so itself; no header is needed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

typedef void *lsl;
lsl lsl_create_streaminfo(const char *, const char *, int, double, int, const char *);
lsl lsl_create_outlet(lsl, int, int);
void lsl_destroy_outlet(lsl);
int lsl_wait_for_consumers(lsl, double);
double lsl_local_clock(void);
int lsl_push_sample_ftp(lsl, const float *, double, int);
int lsl_push_chunk_ftnp(lsl, const float *, unsigned long, const double *, int);

static double cpu(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_utime.tv_sec + u.ru_stime.tv_sec +
           1e-6 * (u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

int main(int argc, char **argv) {
    if (argc != 6) return 2;
    int live = !strcmp(argv[1], "live"), channels = atoi(argv[3]);
    double rate = live ? atof(argv[4]) : 200;
    long n = live ? (long)(rate * atof(argv[5])) : atol(argv[4]);
    long chunk = live ? 1 : atol(argv[5]);
    lsl info = lsl_create_streaminfo(argv[2], "Bench", channels, rate, 1, argv[2]);
    lsl outlet = lsl_create_outlet(info, 0, 360);
    float *values = calloc((size_t)channels * chunk, sizeof *values);
    double *times = calloc(chunk, sizeof *times);
    lsl_wait_for_consumers(outlet, 60);
    sleep(1);
    double begun = cpu();
    struct timespec due;
    clock_gettime(CLOCK_MONOTONIC, &due);
    for (long at = 0; at < n; at += chunk) {
        if (live) {
            long ns = due.tv_nsec + (long)(1e9 / rate);
            due.tv_sec += ns / 1000000000, due.tv_nsec = ns % 1000000000;
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
            values[0] = at;
            lsl_push_sample_ftp(outlet, values, lsl_local_clock(), 1);
        } else {
            for (long i = 0; i < chunk; i++) times[i] = 1000 + (at + i) / rate;
            lsl_push_chunk_ftnp(outlet, values, channels * chunk, times, 1);
        }
    }
    if (live) usleep(200000);
    printf("%.2f\n", 1e6 * (cpu() - begun) / n);
    fflush(stdout);
    sleep(1);
    lsl_destroy_outlet(outlet);
    return 0;
}
