// Code that rewrites code, as a compiler in the guest does: an immediate before each call, a loop now and then, and a routine moved about.
typedef unsigned u32;
typedef unsigned char u8;
typedef u32 (*routine)(u32);

static u8 area[8][4096] __attribute__((aligned(4096)));

// ECX the argument; MOV EAX, imm32; L: ADD EAX, ECX; ROL EAX, 3; XOR EAX, the argument; DEC ECX; JNZ L; RET.
#ifdef __x86_64__
enum { IMMEDIATE = 3 };
static const u8 text[] = {0x89, 0xF9, 0xB8, 0, 0, 0, 0, 0x01, 0xC8, 0xC1, 0xC0, 0x03, 0x31, 0xF8, 0xFF, 0xC9, 0x75, 0xF5, 0xC3};
#else
enum { IMMEDIATE = 5 };
static const u8 text[] = {0x8B, 0x4C, 0x24, 0x04, 0xB8, 0, 0, 0, 0, 0x01, 0xC8, 0xC1, 0xC0, 0x03, 0x33, 0x44, 0x24, 0x04, 0x49, 0x75, 0xF4, 0xC3};
#endif

static routine put(u8 *at, u32 value)
{
    for (u32 i = 0; i < sizeof text; i++) at[i] = text[i];
    *(u32 *)(at + IMMEDIATE) = value;
    return (routine)at;
}

u32 kernel(void)
{
    u32 sum = 0;
    routine f = put(area[0], 1);
    for (u32 round = 0; round < 150000; round++) {
        *(volatile u32 *)(area[0] + IMMEDIATE) = round;
        sum = sum * 31 + f(4);
    }
    for (u32 round = 0; round < 20000; round++) {
        *(volatile u32 *)(area[0] + IMMEDIATE) = round;
        sum = sum * 31 + f(200);
    }
    for (u32 round = 0; round < 20000; round++) sum = sum * 31 + put(area[round & 7] + (round * 64 & 2047), round)(16);
    return sum;
}
