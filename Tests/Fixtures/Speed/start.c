// Entry of every speed kernel: paging on (16 MiB mapped 1:1 by 4 KiB pages; in 64-bit mode by the boot sector), x87 ready, the kernel between two
// marks on port 0xE9.
// The marks are "{" and the checksum as "=xxxxxxxx}".

typedef unsigned u32;
typedef unsigned char u8;

u32 kernel(void);

extern u32 bss_start[], bss_end[];

#ifndef __x86_64__
static u32 directory[1024] __attribute__((aligned(4096)));
static u32 tables[4][1024] __attribute__((aligned(4096)));
#endif

static inline void outb(u32 port, u8 value) { __asm__ volatile("outb %0, %w1" : : "a"(value), "d"(port)); }

static void say(char c) { outb(0xE9, (u8)c); }

void *memset(void *to, int value, __SIZE_TYPE__ count)
{
    void *at = to;
    __asm__ volatile("rep stosb" : "+D"(at), "+c"(count) : "a"(value) : "memory");
    return to;
}

void *memcpy(void *to, const void *from, __SIZE_TYPE__ count)
{
    void *at = to;
    __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(count) : : "memory");
    return to;
}

__attribute__((section(".text.start"), noreturn)) void start(void)
{
    for (u32 *p = bss_start; p < bss_end; p++) *(volatile u32 *)p = 0;
#ifdef __x86_64__
    __asm__ volatile("fninit");
#else
    for (u32 page = 0; page < 4096; page++) tables[page >> 10][page & 1023] = page << 12 | 3;
    for (u32 n = 0; n < 4; n++) directory[n] = (u32)tables[n] | 3;
    __asm__ volatile("movl %0, %%cr3\n movl %%cr0, %%eax\n orl $0x80000000, %%eax\n andl $0xfffffff3, %%eax\n movl %%eax, %%cr0\n fninit"
                     : : "r"(directory) : "eax", "memory");
#endif
    say('{');
    u32 sum = kernel();
    say('=');
    for (int shift = 28; shift >= 0; shift -= 4) say("0123456789abcdef"[sum >> shift & 15]);
    say('}');
    say('\n');
    outb(0x501, 0);                                                      // QEMU's isa-debug-exit, Vitrine's --debug-exit
    for (const char *s = "Shutdown"; *s; s++) outb(0x8900, (u8)*s);      // Bochs
    for (;;) __asm__ volatile("cli; hlt");
}
