; Virtual-8086 mode: entry by IRET and by task switch, the way out through gates, sensitive instructions, port permission, wrap.
%include "metal.inc"

TB      equ 0x100
CONF    equ 0x108
R1CODE  equ 0x110
R1DATA  equ 0x118
BITMAP  equ 0x68

main:
        ; entry and exit
        TRY
        mov eax, 0x11111111
        V86 FL_CF
        mov bx, cs
        mov cx, ss
        mov dx, ds
        mov si, sp
        ud2
bits 32
        ENDTRY
        GOT "V86 mode entered by IRETD", UD, NONE
        CHECKMASK "V86: CS", ebx, 0xFFFF, IMGSEG
        CHECKMASK "V86: SS", ecx, 0xFFFF, V86SS
        CHECKMASK "V86: DS", edx, 0xFFFF, IMGSEG
        CHECKMASK "V86: SP", esi, 0xFFFF, V86SP
        CHECK "V86: EAX goes through whole", eax, 0x11111111
        CHECKMASK "V86: VM in the flags image", dword [exc_eflags], FL_VM | FL_CF, FL_VM | FL_CF
        CHECK "V86: nine dwords on the ring 0 stack", dword [exc_handler_esp], ESP0 - 36 + 12
        CHECKMASK "V86: pushed CS", dword [exc_cs], 0xFFFFFFFF, IMGSEG
        CHECKMASK "V86: pushed SS", dword [exc_ss], 0xFFFFFFFF, V86SS
        CHECK "V86: pushed ESP", dword [exc_esp], V86SP
        CHECKMASK "V86: pushed DS", dword [exc_ds], 0xFFFF, IMGSEG
        CHECKMASK "V86: pushed GS", dword [exc_gs], 0xFFFF, IMGSEG
        ; segment registers in the handler
        IDTGATE 0x60, KCODE, .handler, 0xEE
        TRY
        mov eax, 7
        V86 FL_IOPL + FL_CF
        int 0x60
        mov bx, 0x1234
        ud2
bits 32
.handler:
        push eax
        mov eax, ds
        mov ecx, es
        or eax, ecx
        mov ecx, fs
        or eax, ecx
        mov ecx, gs
        or eax, ecx
        mov ecx, eax
        mov edx, cs
        pushfd
        pop edi
        mov ax, UDATA
        mov ds, ax
        pop eax
        mov esi, [ss:esp]
        or dword [ss:esp + 8], FL_SF
        iretd
        ENDTRY
        GOT "INT through a gate and IRETD back to V86 mode", UD, NONE
        CHECKMASK "V86 goes on behind INT", ebx, 0xFFFF, 0x1234
        CHECKMASK "data segments are null in the handler", ecx, 0xFFFF, 0
        CHECKMASK "handler runs in ring 0", edx, 0xFFFF, KCODE
        CHECKMASK "handler has VM clear", edi, FL_VM | FL_IF | FL_TF | FL_NT, 0
        CHECKMASK "IRETD restores flags of V86 mode", dword [exc_eflags], FL_SF | FL_VM | FL_IOPL | FL_CF, FL_SF | FL_VM | FL_IOPL | FL_CF
        CHECKMASK "IRETD restores DS of V86 mode", dword [exc_ds], 0xFFFF, IMGSEG
        ; gates that V86 mode may not use
        IDTGATE 0x60, KCODE, .handler, 0x8E
        FAULTV "V86: INT n of DPL 0", GP, 0x60 * 8 + 2, FL_IOPL, int 0x60
        DESC CONF, 0, 0xFFFFF, A_CONF, 0xC
        IDTGATE 0x60, CONF, .handler, 0xEE
        FAULTV "V86: INT n to conforming code", GP, CONF, FL_IOPL, int 0x60
        DESC R1CODE, 0, 0xFFFFF, A_CODE + D1, 0xC
        DESC R1DATA, 0, 0xFFFFF, A_DATA + D1, 0xC
        mov word [tss + 16], R1DATA + 1
        IDTGATE 0x60, R1CODE, .handler, 0xEE
        FAULTV "V86: INT n to ring 1", GP, R1CODE, FL_IOPL, int 0x60
        IDTGATE 0x60, UCODE, .handler, 0xEE
        FAULTV "V86: INT n to ring 3", GP, UCODE & ~3, FL_IOPL, int 0x60
        IDTGATE 0x60, KCODE, .handler, 0x6E
        FAULTV "V86: INT n absent", NP, 0x60 * 8 + 2, FL_IOPL, int 0x60
        ; IRETD to V86 needs CPL 0
        TRY
        USER
        push dword IMGSEG
        push dword IMGSEG
        push dword IMGSEG
        push dword IMGSEG
        push dword V86SS
        push dword V86SP
        push dword FL_VM | 2
        push dword UCODE
        push dword .notv86
        iretd
.notv86: int DONE
        ENDTRY
        GOT "IRETD with VM set in ring 3 stays in ring 3", DONE, NONE
        CHECKMASK "VM stays clear", dword [exc_eflags], FL_VM, 0
        TRY
        push dword IMGSEG
        push dword IMGSEG
        push dword IMGSEG
        push dword IMGSEG
        push dword V86SS
        push dword V86SP
        push dword FL_VM | 2
        push dword IMGSEG
        push dword 0x10000
        iretd
        ENDTRY
        GOT "IRETD to V86 mode beyond 64 KiB", GP, 0

        ; sensitive instructions with IOPL below 3 and with 3
        FAULTV "V86, IOPL 0: CLI", GP, 0, 0, cli
        FAULTV "V86, IOPL 0: STI", GP, 0, 0, sti
        FAULTV "V86, IOPL 0: PUSHF", GP, 0, 0, pushf
        FAULTV "V86, IOPL 0: PUSHFD", GP, 0, 0, pushfd
        FAULTV "V86, IOPL 0: POPF", GP, 0, 0, popf
        FAULTV "V86, IOPL 0: POPFD", GP, 0, 0, popfd
        FAULTV "V86, IOPL 0: IRET", GP, 0, 0, iret
        FAULTV "V86, IOPL 0: IRETD", GP, 0, 0, iretd
        FAULTV "V86, IOPL 0: INT n", GP, 0, 0, int 0x41
        FAULTV "V86, IOPL 0: HLT", GP, 0, 0, hlt
        FAULTV "V86: MOV from CR0", GP, 0, FL_IOPL, mov eax, cr0
        FAULTV "V86: LGDT", GP, 0, FL_IOPL, lgdt [0]
        FAULTV "V86: CLTS", GP, 0, FL_IOPL, clts
        FAULTV "V86: INVLPG", GP, 0, FL_IOPL, invlpg [0]
        FAULTV "V86: WRMSR", GP, 0, FL_IOPL, wrmsr
        OKV "V86, IOPL 3: CLI", FL_IOPL, cli
        OKV "V86, IOPL 0: LAHF and SAHF are free", 0, lahf
        TRY
        V86 FL_IOPL
        push word 0x0203
        push cs
        push word (.iretv - ORG_)
        iret
        nop
.iretv: mov bx, sp
        pushf
        pop ax
        ud2
bits 32
        ENDTRY
        GOT "V86, IOPL 3: IRET", UD, NONE
        CHECKMASK "V86: IRET pops three words", ebx, 0xFFFF, V86SP
        CHECKMASK "V86: IRET loads flags, IOPL stays", eax, 0x3203, 0x3203
        TRY
        V86 FL_IOPL
        push dword 0x00040002
        popfd
        pushfd
        pop eax
        ud2
bits 32
        ENDTRY
        CHECKMASK "V86, IOPL 3: POPFD loads AC", eax, FL_AC, FL_AC

        ; segments: 64 KiB, base 16 times the selector
        TRY
        V86 0
        mov ax, 0x6000
        mov es, ax
        mov dword [es:4], 0x76543210
        mov ax, 0x5FFF
        mov fs, ax
        mov ebx, [fs:0x14]
        ud2
bits 32
        ENDTRY
        CHECK "V86: segment bases", ebx, 0x76543210
        mov eax, 0x60004
        mov eax, [eax]
        CHECK "V86: linear address of ES:4", eax, 0x76543210
        FAULTV "V86: word at 0xFFFF", GP, 0, 0, mov ax, [0xFFFF]
        FAULTV "V86: dword at 0xFFFD", GP, 0, 0, mov eax, [0xFFFD]
        OKV "V86: dword at 0xFFFC", 0, mov ecx, [0xFFFC]
        mov ebx, 0x10000
        FAULTV "V86: 32-bit offset beyond 64 KiB", GP, 0, 0, mov ax, [ebx]
        mov ebx, 0xFFFF
        FAULTV "V86: word at SS:0xFFFF", SS_, 0, 0, mov ax, [ss:ebx]
        FAULTV "V86: write of a word at 0xFFFF", GP, 0, 0, mov [0xFFFF], ax
        TRY
        V86 0
        xor sp, sp
        push ax
        mov bx, sp
        mov sp, 1
        push ax
bits 32
        ENDTRY
        GOT "V86: PUSH at SP 1", SS_, 0
        CHECKMASK "V86: PUSH at SP 0 wraps", ebx, 0xFFFF, 0xFFFE
        TRY
        V86 0
        mov ebx, 0xFFFF
        jmp ebx
bits 32
        ENDTRY
        GOT "V86: code at 0xFFFF and beyond", GP, 0
        FAULTV "V86: far JMP beyond 64 KiB", GP, 0, 0, jmp dword IMGSEG:0x10000

        ; I/O permission bitmap
        DESC TSS, tss, BITMAP + 0x20, 0x89, 0
        mov ax, TSS
        ltr ax
        mov word [tss + 0x66], BITMAP
        mov edi, tss + BITMAP
        mov ecx, 0x21
        mov al, 0xFF
        rep stosb
        mov byte [tss + BITMAP + 0x80 / 8], 0xFE        ; port 0x80 only
        mov byte [tss + BITMAP + 0x8C / 8], 0x07        ; ports 0x8B-0x8F
        mov ax, 0
        OKV "bitmap: IN from an open port in V86 mode", 0, out 0x80, al
        FAULTV "bitmap: IN from a closed port in V86 mode", GP, 0, 0, in al, 0x81
        FAULTV "bitmap: word over open and closed ports", GP, 0, 0, in ax, 0x80
        FAULTV "bitmap: IOPL 3 does not help V86 mode", GP, 0, FL_IOPL, in al, 0x81
        OKV "bitmap: dword in one byte of the map", 0, out 0x8C, eax
        FAULTV "bitmap: dword across", GP, 0, 0, out 0x8A, eax
        OK3 "bitmap: open port in ring 3", out 0x80, al
        FAULT3 "bitmap: closed port in ring 3", GP, 0, out 0x81, al
        mov edx, 0xFF
        mov byte [tss + BITMAP + 0x1F], 0
        OK3 "bitmap: last port of the map", in al, dx
        mov eax, 0
        FAULT3 "bitmap: word at the last port needs the next byte", GP, 0, out dx, ax
        mov edx, 0x100
        mov byte [tss + BITMAP + 0x20], 0
        FAULT3 "bitmap: beyond the TSS limit", GP, 0, out dx, al
        OK "bitmap: ring 0 needs none", out 0x81, al
        TRY
        push dword UDATA
        push dword USTACK
        push dword 0x3002
        push dword UCODE
        push dword .iopl3
        iretd
.iopl3: out 0x81, al
        int DONE
        ENDTRY
        GOT "bitmap: IOPL 3 lets ring 3 pass", DONE, NONE
        mov word [tss + 0x66], 0x1000
        FAULT3 "bitmap: base beyond the limit closes every port", GP, 0, out 0x80, al
        mov edi, PAGES
        mov edx, 0x81
        mov ecx, 3
        FAULT3 "bitmap: INSB", GP, 0, insb
        FAULT3 "bitmap: REP OUTSB", GP, 0, rep outsb
        DESC TSS, tss, 0x67, 0x89, 0
        mov ax, TSS
        ltr ax
        mov word [tss + 0x66], 0x68

        ; entry by task switch
        mov edi, tssb
        xor eax, eax
        mov ecx, 0x68 / 4
        rep stosd
        mov dword [tssb + 4], 0x29000
        mov dword [tssb + 8], KDATA
        mov dword [tssb + 32], .task - ORG_
        mov dword [tssb + 36], FL_VM | 2
        mov dword [tssb + 40], 0x12345678
        mov dword [tssb + 56], 0x800
        mov dword [tssb + 72], 0x2222
        mov dword [tssb + 76], IMGSEG
        mov dword [tssb + 80], V86SS
        mov dword [tssb + 84], 0x3333
        mov dword [tssb + 88], 0x4444
        mov dword [tssb + 92], 0x5555
        DESC TB, tssb, 0x67, 0x89, 0
        TRY
        jmp TB:0
bits 16
.task:  mov bx, ds
        mov cx, es
        mov dx, gs
        mov si, ss
        ud2
bits 32
        ENDTRY
        GOT "V86 mode entered by a task switch", UD, NONE
        CHECK "V86 task: EAX", eax, 0x12345678
        CHECKMASK "V86 task: DS", ebx, 0xFFFF, 0x3333
        CHECKMASK "V86 task: ES", ecx, 0xFFFF, 0x2222
        CHECKMASK "V86 task: GS", edx, 0xFFFF, 0x5555
        CHECKMASK "V86 task: SS", esi, 0xFFFF, V86SS
        CHECK "V86 task: its own ring 0 stack", dword [exc_handler_esp], 0x29000 - 36 + 12
        CHECK "V86 task: ESP", dword [exc_esp], 0x800
        DESC TSS, tss, 0x67, 0x89, 0
        mov ax, TSS
        ltr ax
        mov ax, LDT
        lldt ax
        clts
        ; interrupt through a task gate out of V86 mode
        mov dword [tssb + 32], .out
        mov dword [tssb + 36], 2
        mov dword [tssb + 56], 0x29000
        mov dword [tssb + 72], UDATA
        mov dword [tssb + 76], KCODE
        mov dword [tssb + 80], KDATA
        mov dword [tssb + 84], UDATA
        mov dword [tssb + 88], UDATA
        mov dword [tssb + 92], UDATA
        DESC TB, tssb, 0x67, 0x89, 0
        IDTGATE 0x61, TB, 0, 0xE5
        TRY
        V86 FL_IOPL
        int 0x61
        mov bx, 0x4321
        ud2
bits 32
.out:   mov eax, [tss + 36]
        mov [seen_flags], eax
        mov eax, [tss + 76]
        mov [seen_cs], eax
        iretd
        ENDTRY
        GOT "INT through a task gate out of V86 mode and back", UD, NONE
        CHECKMASK "task gate: VM was saved", dword [seen_flags], FL_VM | FL_IOPL, FL_VM | FL_IOPL
        CHECKMASK "task gate: CS of V86 mode was saved", dword [seen_cs], 0xFFFF, IMGSEG
        CHECKMASK "task gate: V86 mode goes on", ebx, 0xFFFF, 0x4321
        clts
        ret

section .data
align 4
tssb:   times 0x68 db 0
seen_flags: dd 0
seen_cs: dd 0
