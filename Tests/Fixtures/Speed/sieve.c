// Sieve of Eratosthenes over 1 MiB of bytes: byte stores with a stride.
typedef unsigned u32;
typedef unsigned char u8;

static u8 composite[1 << 20];

u32 kernel(void)
{
    u32 sum = 0;
    for (int round = 0; round < 12; round++) {
        for (u32 i = 0; i < sizeof composite; i++) composite[i] = 0;
        for (u32 i = 2; i < sizeof composite; i++) {
            if (composite[i]) continue;
            sum += i ^ (u32)round;
            if (i < 1024)
                for (u32 k = i * i; k < sizeof composite; k += i) composite[k] = 1;
        }
    }
    return sum;
}
