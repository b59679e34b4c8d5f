// CRC-32 by table over 64 KiB, again and again: a dependent chain of loads, shifts and XORs.
typedef unsigned u32;
typedef unsigned char u8;

static u32 table[256];
static u8 data[65536];

u32 kernel(void)
{
    for (u32 n = 0; n < 256; n++) {
        u32 c = n;
        for (int k = 0; k < 8; k++) c = c & 1 ? c >> 1 ^ 0xEDB88320u : c >> 1;
        table[n] = c;
    }
    for (u32 i = 0; i < sizeof data; i++) data[i] = (u8)(i * 2654435761u >> 24);
    u32 c = ~0u;
    for (int round = 0; round < 320; round++)
        for (u32 i = 0; i < sizeof data; i++) c = table[(c ^ data[i]) & 255] ^ c >> 8;
    return ~c;
}
