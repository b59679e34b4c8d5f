// Quicksort of 64 Ki words: data-dependent branches, loads and stores.
typedef unsigned u32;

static u32 a[65536];

static void sort(int low, int high)
{
    while (low < high) {
        u32 pivot = a[(low + high) / 2];
        int i = low, k = high;
        while (i <= k) {
            while (a[i] < pivot) i++;
            while (a[k] > pivot) k--;
            if (i <= k) {
                u32 t = a[i];
                a[i++] = a[k];
                a[k--] = t;
            }
        }
        if (k - low < high - i) {
            sort(low, k);
            low = i;
        } else {
            sort(i, high);
            high = k;
        }
    }
}

u32 kernel(void)
{
    u32 seed = 1, sum = 0;
    for (int round = 0; round < 16; round++) {
        for (int i = 0; i < 65536; i++) {
            seed = seed * 1664525 + 1013904223;
            a[i] = seed >> 4;
        }
        sort(0, 65535);
        for (int i = 1; i < 65536; i++) sum = sum * 31 + (a[i] - a[i - 1]);
    }
    return sum;
}
