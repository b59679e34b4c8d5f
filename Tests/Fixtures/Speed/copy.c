// REP MOVSD and REP STOSD over 64 KiB.
typedef unsigned u32;

static u32 from[16384], to[16384];

u32 kernel(void)
{
    u32 sum = 0;
    for (u32 i = 0; i < 16384; i++) from[i] = i * 2654435761u;
    for (u32 round = 0; round < 9000; round++) {
        void *d = to;
        const void *s = from;
        unsigned long count = 16384;
        __asm__ volatile("rep movsl" : "+D"(d), "+S"(s), "+c"(count) : : "memory");
        from[round & 16383] ^= to[(round * 7) & 16383] + round;
        if ((round & 63) == 0) {
            d = to;
            count = 4096;
            __asm__ volatile("rep stosl" : "+D"(d), "+c"(count) : "a"(round) : "memory");
        }
    }
    for (u32 i = 0; i < 16384; i++) sum = sum * 31 + to[i];
    return sum;
}
