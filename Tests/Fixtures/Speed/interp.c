// A small byte-code machine: one indirect jump for each of its instructions.
typedef unsigned u32;
typedef unsigned char u8;

enum { PUSH, ADD, XOR, DUP, SWAP, LOAD, STORE, SHR, DECJNZ, HALT };

static const u8 program[] = {
    LOAD, 0, LOAD, 1, ADD, DUP, STORE, 0,
    PUSH, 5, SHR, LOAD, 2, XOR, STORE, 2,
    LOAD, 1, PUSH, 13, ADD, LOAD, 2, SWAP, ADD, STORE, 1,
    DECJNZ, 0, HALT,
};

static u32 run(const u8 *code, u32 count)
{
    u32 stack[16], cell[4] = { 1, 2, 3, 0 }, *top = stack, pc = 0;
    for (;;) {
        switch (code[pc++]) {
        case PUSH: *top++ = code[pc++]; break;
        case ADD: top--; top[-1] += *top; break;
        case XOR: top--; top[-1] ^= *top; break;
        case DUP: *top = top[-1]; top++; break;
        case SWAP: { u32 t = top[-1]; top[-1] = top[-2]; top[-2] = t; break; }
        case LOAD: *top++ = cell[code[pc++]]; break;
        case STORE: cell[code[pc++]] = *--top; break;
        case SHR: top--; top[-1] >>= *top & 31; break;
        case DECJNZ: pc = --count ? code[pc] : pc + 1; break;
        case HALT: return cell[0] ^ cell[1] ^ cell[2];
        }
    }
}

u32 kernel(void)
{
    const u8 *volatile code = program;
    return run(code, 1200000);
}
