// Multiplications and divisions of 32 bits with what usually surrounds them.
typedef unsigned u32;

u32 kernel(void)
{
    u32 x = 12345, sum = 0;
    volatile u32 modulus = 65521, step = 7;
    for (u32 i = 1; i < 9000000; i++) {
        x = x * 1103515245 + 12345;
        u32 high = (u32)((unsigned long long)x * i >> 32);
        sum += high ^ (x % modulus);
        if ((i & 7) == 0) sum += (u32)((int)x / (int)step);
    }
    return sum;
}
