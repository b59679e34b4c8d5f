// Product of 96 x 96 matrices of doubles on the x87.
typedef unsigned u32;

enum { N = 96 };
static double a[N][N], b[N][N], c[N][N];

u32 kernel(void)
{
    for (int i = 0; i < N; i++)
        for (int k = 0; k < N; k++) {
            a[i][k] = (i * 7 + k * 3) % 11;
            b[i][k] = (i * 5 + k) % 13;
        }
    u32 sum = 0;
    for (int round = 0; round < 12; round++) {
        for (int i = 0; i < N; i++)
            for (int k = 0; k < N; k++) {
                double t = 0;
                for (int m = 0; m < N; m++) t += a[i][m] * b[m][k];
                c[i][k] = t;
            }
        for (int i = 0; i < N; i++)
            for (int k = 0; k < N; k++) sum = sum * 31 + (u32)(int)c[i][k];
        a[round][round] += 1;
    }
    return sum;
}
