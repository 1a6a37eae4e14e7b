#include "util/thread.h"

#include <pthread.h>

int thread_start(void *(*run)(void *), void *context, size_t stack_bytes)
{
    pthread_attr_t attributes;
    pthread_t thread;
    int error;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, stack_bytes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    error = pthread_create(&thread, &attributes, run, context);
    pthread_attr_destroy(&attributes);
    return error;
}
