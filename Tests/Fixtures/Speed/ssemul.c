// Product of 96 x 96 matrices of doubles by SSE2, two at a time; and of floats one by one.
typedef unsigned u32;
typedef double pair __attribute__((vector_size(16)));

enum { N = 96 };
static double a[N][N] __attribute__((aligned(16))), b[N][N] __attribute__((aligned(16))), c[N][N] __attribute__((aligned(16)));
static float e[N][N], f[N][N];

u32 kernel(void)
{
#ifndef __x86_64__
    __asm__ volatile("movl %%cr4, %%eax\n orl $0x600, %%eax\n movl %%eax, %%cr4" : : : "eax");
#endif
    for (int i = 0; i < N; i++)
        for (int k = 0; k < N; k++) {
            e[i][k] = a[i][k] = (i * 7 + k * 3) % 11;
            f[i][k] = b[i][k] = (i * 5 + k) % 13;
        }
    u32 sum = 0;
    for (int round = 0; round < 12; round++) {
        for (int i = 0; i < N; i++)
            for (int k = 0; k < N; k += 2) {
                pair t = {0, 0};
                for (int m = 0; m < N; m++) t += (pair){a[i][m], a[i][m]} * *(pair *)&b[m][k];
                *(pair *)&c[i][k] = t;
            }
        for (int i = 0; i < N; i++)
            for (int k = 0; k < N; k++) {
                float t = 0;
                for (int m = 0; m < N; m++) t += e[i][m] * f[m][k];
                sum = sum * 31 + (u32)(int)c[i][k] + (u32)(int)t;
            }
        a[round][round] += 1;
        e[round][round] += 1;
    }
    return sum;
}
