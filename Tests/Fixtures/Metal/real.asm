; Real-address mode: the interrupt table, limits and wrap, unreal mode, sensitive instructions, single step, interrupts, A20.
%include "metal.inc"

RSTACK  equ 0x8000              ; SS = 2000
%define OFF(x) ((x) - ORG_)
%assign rcount 0

; SEEN name, value, expected: a check that is reported when protected mode is back
%macro SEEN 3
        push eax
        mov eax, %2
        mov [OFF(results) + rcount * 4], eax
        pop eax
[section .data]
%%name: db %1, 0
[section .table]
        dd %%name, %3
__SECT__
%assign rcount rcount + 1
%endmacro
; SEEN of a word
%macro SEENW 3
        push eax
        push word %2
        pop ax
        movzx eax, ax
        mov [OFF(results) + rcount * 4], eax
        pop eax
[section .data]
%%name: db %1, 0
[section .table]
        dd %%name, %3
__SECT__
%assign rcount rcount + 1
%endmacro
; RTRY … REND: an exception continues at REND
%macro RTRY 0
%push rtry
        mov word [OFF(r_resume)], OFF(%$end)
        mov [OFF(r_sp)], sp
        mov dword [OFF(r_vector)], NONE
        mov dword [OFF(r_ip)], 0
%endmacro
%macro REND 0
%$end:
%pop
%endmacro
; RFAULT name, vector, {instruction}: the exception with the address of the instruction
%macro RFAULT 3+
        RTRY
        mov word [OFF(r_at)], OFF(%%at)
%%at:   %3
        REND
        SEEN {%1}, [OFF(r_vector)], %2
        SEENW {%1, ": return address less the instruction's"}, [OFF(r_difference)], 0
%endmacro
%macro RUD 2+
        RTRY
        %2
        REND
        SEEN {%1}, [OFF(r_vector)], UD
%endmacro
%macro ROK 2+
        RTRY
        %2
        REND
        SEEN {%1}, [OFF(r_vector)], NONE
%endmacro

section .table follows=.data align=4
table:
section .text

main:
        mov [saved_esp], esp
        ; vectors 0-31 of the table at 0
        xor edi, edi
        xor ecx, ecx
.ivt:   mov edx, ecx
        shl edx, 3
        mov eax, rstubs - ORG_
        add eax, edx
        or eax, IMGSEG << 16
        mov [edi + ecx * 4], eax
        inc ecx
        cmp ecx, 256
        jb .ivt
        mov word [0x70 * 4], rint70 - ORG_
        mov word [0x50 * 4], rirq0 - ORG_
        lidt [ridtr]
        jmp C16:(.leave - ORG_)
bits 16
.leave: mov ax, D16
        mov ss, ax
        mov ds, ax
        mov es, ax
        mov fs, ax
        mov gs, ax
        mov eax, cr0
        and al, 0xFE
        mov cr0, eax
        jmp IMGSEG:OFF(.real)
.real:  mov ax, IMGSEG
        mov ds, ax
        mov es, ax
        mov ax, 0x2000
        mov ss, ax
        mov sp, RSTACK

        smsw ax
        and eax, 1
        SEEN "real mode: PE is clear", eax, 0
        ; ---- INT n ----
        push word 0x0203
        popf
        pushf
        int 0x70
.int70: pushf
        pop bx
        pop ax
        cli
        SEENW "INT n: flags pushed", [OFF(int_flags)], 0x0203
        SEENW "INT n: CS pushed", [OFF(int_cs)], IMGSEG
        SEENW "INT n: return address", [OFF(int_ip)], .int70 - ORG_
        SEENW "INT n: SP", [OFF(int_sp)], RSTACK - 8
        SEENW "INT n clears IF", [OFF(int_inside)], 0x0003
        SEENW "IRET brings the flags back", bx, 0x0203
        SEENW "IRET releases three words", sp, RSTACK - 4           ; SEENW has pushed a dword
        ; the table's limit
        mov word [OFF(ridtr2)], 0x7F
        lidt [OFF(ridtr2)]
        RFAULT "INT n beyond the IDT limit", GP, int 0x20
        mov word [OFF(ridtr2)], 0x70 * 4 + 2
        lidt [OFF(ridtr2)]
        RFAULT "INT n with half an entry", GP, int 0x70
        mov word [OFF(ridtr2)], 0x70 * 4 + 3
        lidt [OFF(ridtr2)]
        mov word [OFF(int_cs)], 0
        ROK "INT n with the last entry", int 0x70
        SEENW "which ran", [OFF(int_cs)], IMGSEG
        ; a table elsewhere
        mov dword [OFF(other) + 4], IMGSEG << 16
        mov word [OFF(other) + 4], OFF(.elsewhere)
        mov dword [OFF(ridtr3) + 2], other
        lidt [OFF(ridtr3)]
        mov bx, 0
        int 1
        lidt [OFF(ridtr)]
        SEENW "IDT with another base", bx, 0x77
        ; ---- exceptions ----
        xor cx, cx
        mov ax, 1
        xor dx, dx
        RFAULT "DIV by 0", DE, div cx
        RFAULT "AAM 0", DE, aam 0
        RFAULT "UD2", UD, ud2
        mov ax, 5
        mov dword [OFF(scratch)], 0x00040001
        RFAULT "BOUND", BR, bound ax, [OFF(scratch)]
        RFAULT "LOCK NOP", UD, db 0xF0, 0x90
        RFAULT "sixteen bytes", GP, db 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90
        RTRY
        int3
        REND
        SEEN "INT3", [OFF(r_vector)], 3
        RTRY
        mov al, 0x7F
        inc al
        into
        REND
        SEEN "INTO", [OFF(r_vector)], 4
        ; ---- limits ----
        RFAULT "word at 0xFFFF", GP, mov ax, [0xFFFF]
        RFAULT "dword at 0xFFFD", GP, mov eax, [0xFFFD]
        ROK "dword at 0xFFFC", mov eax, [0xFFFC]
        RFAULT "write of a word at 0xFFFF", GP, mov [0xFFFF], ax
        RFAULT "word at SS:0xFFFF", SS_, mov ax, [ss:0xFFFF]
        mov bp, 0xFFFF
        RFAULT "word at BP = 0xFFFF", SS_, mov ax, [bp]
        mov ebx, 0x10000
        RFAULT "32-bit offset beyond 64 KiB", GP, mov al, [ebx]
        mov si, 0xFFFF
        RFAULT "LODSW at 0xFFFF", GP, lodsw
        mov di, 0xFFFF
        mov es, [OFF(spare)]
        RFAULT "STOSW at 0xFFFF", GP, stosw
        RTRY
        mov di, 0xFFFE
        mov cx, 4
        mov ax, 0x1234
        rep stosw
        mov [OFF(scratch)], di
        REND
        SEENW "REP STOSW wraps at 64 KiB", [OFF(scratch)], 6
        RTRY
        mov di, 0xFFFF
        mov cx, 2
        rep stosb
        mov [OFF(scratch)], di
        REND
        SEENW "REP STOSB wraps at 64 KiB", [OFF(scratch)], 1
        mov ax, IMGSEG
        mov es, ax
        RTRY
        mov sp, 2
        push eax
        REND
        SEEN "PUSH dword at SP 2", [OFF(r_vector)], SS_
        RTRY
        mov sp, 0xFFFF
        pop ax
        REND
        SEEN "POP at SP 0xFFFF", [OFF(r_vector)], SS_
        RTRY
        xor sp, sp
        push ax
        mov [OFF(scratch)], sp
        mov sp, [OFF(r_sp)]
        REND
        SEENW "PUSH at SP 0 wraps to 0xFFFE", [OFF(scratch)], 0xFFFE
        RTRY
        jmp dword IMGSEG:0x10000
        REND
        SEEN "far JMP beyond 64 KiB", [OFF(r_vector)], GP
        RTRY
        mov eax, 0x10000
        jmp eax
        REND
        SEEN "near JMP beyond 64 KiB", [OFF(r_vector)], GP
        mov ax, [OFF(spare)]
        mov es, ax
        mov byte [es:0xFFFF], 0xB8      ; mov ax, imm16 at the very end
        RTRY
        jmp 0x6000:0xFFFF
        REND
        SEEN "code across 0xFFFF", [OFF(r_vector)], GP
        SEENW "its address", [OFF(r_ip)], 0xFFFF
        mov byte [es:0xFFFE], 0x90
        mov byte [es:0xFFFF], 0x90
        RTRY
        jmp 0x6000:0xFFFE
        REND
        SEEN "code running off 0xFFFF", [OFF(r_vector)], GP
        mov ax, IMGSEG
        mov es, ax
        ; effective addresses wrap
        mov bx, 0x8000
        mov si, 0x8000 + OFF(scratch)
        mov word [OFF(scratch)], 0x4711
        SEENW "[BX+SI] wraps", [bx + si], 0x4711
        mov bx, 0xFFFF
        mov al, 2
        mov ah, [1]
        xlatb
        sub al, ah
        movzx ax, al
        SEENW "XLAT wraps", ax, 0
        mov bx, OFF(scratch)
        lea ax, [bx + 0x7FFF]
        sub ax, bx
        SEENW "LEA wraps", ax, 0x7FFF
        ; ---- 32-bit code pieces ----
        mov eax, 0x12345678
        push eax
        pop bx
        pop cx
        SEENW "32-bit PUSH: low word", bx, 0x5678
        SEENW "32-bit PUSH: high word", cx, 0x1234
        mov ebx, scratch - ORG_
        mov dword [ebx], 0xFEEDBEEF
        SEEN "32-bit address", [OFF(scratch)], 0xFEEDBEEF
        mov esi, 2
        mov word [OFF(scratch) + 8], 0xABCD
        SEENW "scaled index", [ebx + esi * 4], 0xABCD
        call dword .far32
.near:  SEENW "32-bit CALL: SP back", sp, RSTACK - 4           ; SEENW has pushed a dword
        push word 0x1111
        call IMGSEG:OFF(.farcall)
        SEENW "RETF 2 releases the parameter", sp, RSTACK - 4           ; SEENW has pushed a dword
        SEENW "far CALL pushes CS", dx, IMGSEG
        pushfd
        pushfd
        pop eax
        or eax, 0x40000                 ; AC
        push eax
        popfd
        pushfd
        pop eax
        popfd
        shr eax, 16
        SEENW "POPFD changes AC", ax, 4
        pushf
        push word 0x7002
        popf
        pushf
        pop ax
        popf
        SEENW "POPF changes IOPL and NT", ax, 0x7002
        pushf
        pushfd
        pop eax
        or eax, FL_VM
        push eax
        popfd
        pushfd
        pop eax
        popf
        shr eax, 16
        and ax, 2
        SEENW "POPFD does not set VM", ax, 0
        push dword 0x00000203
        push dword IMGSEG
        push dword OFF(.iretd)
        iretd
.iretd: pushf
        pop ax
        cli
        SEENW "IRETD", ax, 0x0203
        SEENW "IRETD releases three dwords", sp, RSTACK - 4           ; SEENW has pushed a dword
        ; ---- stack frames ----
        mov ax, 1
        mov cx, 2
        mov dx, 3
        mov bx, 4
        mov bp, 6
        mov si, 7
        mov di, 8
        pusha
        mov bp, sp
        mov ax, [bp + 6]
        SEENW "PUSHA stores SP before", ax, RSTACK
        mov ax, [bp + 14]
        SEENW "PUSHA: AX on top", ax, 1
        mov word [bp + 6], 0x1234
        popa
        SEENW "POPA: DI", di, 8
        SEENW "POPA: BP", bp, 6
        SEENW "POPA ignores SP", sp, RSTACK - 4           ; SEENW has pushed a dword
        push sp
        pop ax
        SEENW "PUSH SP pushes the value before", ax, RSTACK
        mov bp, 0x5555
        enter 6, 0
        mov ax, bp
        mov bx, sp
        leave
        SEENW "ENTER: BP", ax, RSTACK - 2
        SEENW "ENTER: SP", bx, RSTACK - 8
        SEENW "LEAVE: BP", bp, 0x5555
        mov bp, RSTACK - 0x100
        mov word [bp - 2], 0xAAAA
        enter 4, 2
        mov bx, [bp - 2]
        mov cx, [bp - 4]
        mov dx, sp
        leave
        SEENW "ENTER with level 2 copies the frame pointer", bx, 0xAAAA
        SEENW "ENTER with level 2 pushes its own", cx, RSTACK - 2
        SEENW "ENTER with level 2: SP", dx, RSTACK - 10
        ; ---- sensitive instructions ----
        RUD "SLDT", sldt ax
        RUD "STR", str ax
        RUD "LAR", lar ax, bx
        RUD "LSL", lsl ax, bx
        RUD "VERR", verr ax
        RUD "VERW", verw ax
        RUD "ARPL", db 0x63, 0xC3
        RUD "LLDT", lldt ax
        RUD "LTR", ltr ax
        RUD "MOV CS", db 0x8E, 0xC8
        ROK "SGDT", o32 sgdt [OFF(scratch)]
        SEEN "SGDT: base", [OFF(scratch) + 2], gdt
        ROK "CLI and STI", cli
        ROK "CLTS", clts
        RTRY
        mov eax, cr0
        mov ebx, eax
        or eax, 0x80000000
        mov cr0, eax
        REND
        SEEN "PG without PE", [OFF(r_vector)], GP
        ; LGDT with a 16-bit operand takes 24 bits of the base
        mov dword [OFF(ridtr2) + 2], 0xFF000000
        mov word [OFF(ridtr2)], 0x3FF
        o16 lidt [OFF(ridtr2)]
        o32 sidt [OFF(scratch)]
        o32 lidt [OFF(ridtr)]
        SEEN "16-bit LIDT ignores the top byte of the base", [OFF(scratch) + 2], 0
        ; ---- segments ----
        mov ax, 0x6000
        mov fs, ax
        mov dword [fs:0], 0x600D0001
        mov ax, 0x5FF0
        mov gs, ax
        SEEN "segment base", [gs:0x100], 0x600D0001
        mov dword [OFF(scratch)], 0x6000 << 16 | 4
        lfs bx, [OFF(scratch)]
        mov ax, fs
        SEENW "LFS: selector", ax, 0x6000
        SEENW "LFS: offset", bx, 4
        ; ---- single step ----
        mov dword [1 * 4], 0
        push ds
        xor ax, ax
        mov ds, ax
        mov word [1 * 4], OFF(rstep)
        mov word [1 * 4 + 2], IMGSEG
        pop ds
        mov word [OFF(steps)], 0
        pushf
        pop ax
        or ax, FL_TF
        push ax
        popf
        nop
.step1: nop
        pushf
        pop ax
        and ax, ~FL_TF
        push ax
        popf
.step2: SEENW "single step", [OFF(steps)], 7
        SEENW "single step: last address", [OFF(step_ip)], .step2 - ORG_
        ; ---- interrupt ----
        mov word [OFF(irqs)], 0
        mov al, 0x34
        out 0x43, al
        mov al, 0
        out 0x40, al
        mov al, 8
        out 0x40, al
        mov al, 0xFE
        out 0x21, al
        sti
        hlt
.hlt:   cli
        mov al, 0xFF
        out 0x21, al
        SEENW "IRQ 0 wakes HLT", [OFF(irqs)], 1
        SEENW "IRQ 0 returns behind HLT", [OFF(irq_ip)], .hlt - ORG_
        ; ---- A20 ----
        mov ax, 0xFFFF
        mov fs, ax
        xor ax, ax
        mov gs, ax
        mov eax, [gs:0x500]
        mov dword [gs:0x500], 0x11112222
        mov dword [fs:0x510], 0x33334444
        SEEN "A20 on: FFFF:0510 is above 1 MiB", [gs:0x500], 0x11112222
        in al, 0x92
        and al, 0xFC
        out 0x92, al
        mov eax, [fs:0x510]
        mov [OFF(scratch)], eax
        in al, 0x92
        or al, 2
        and al, 0xFE
        out 0x92, al
        SEEN "A20 off: FFFF:0510 is 0000:0500", [OFF(scratch)], 0x11112222
        SEEN "A20 on again", [fs:0x510], 0x33334444
        ; ---- unreal mode ----
        mov eax, cr0
        or al, 1
        mov cr0, eax
        mov bx, UDATA & ~3
        mov bx, KDATA
        mov fs, bx
        and al, 0xFE
        mov cr0, eax
        mov ebx, 0x200000
        mov dword [fs:ebx], 0x0DDBA11
        SEEN "unreal mode: beyond 64 KiB", [fs:ebx], 0x0DDBA11
        mov ax, 0x10
        mov fs, ax
        mov eax, [fs:ebx - 0x100]
        SEEN "unreal mode: a load keeps the limit", eax, 0x0DDBA11
        RTRY
        mov eax, [ds:ebx]
        REND
        SEEN "unreal mode: the other segments keep theirs", [OFF(r_vector)], GP
        mov ax, IMGSEG
        mov fs, ax
        mov gs, ax
        ; PE set without a far jump: still 16-bit code of the old base
        cli
        mov eax, cr0
        or al, 1
        mov cr0, eax
        mov bx, cs
        and al, 0xFE
        mov cr0, eax
        SEENW "PE set: CS stays until it is loaded", bx, IMGSEG

        ; back to protected mode
        mov eax, cr0
        or al, 1
        mov cr0, eax
        jmp dword KCODE:.protected
.elsewhere: mov bx, 0x77
        iret
.far32: db 0x66, 0xC3
.farcall:
        mov bp, sp
        mov dx, [bp + 2]
        retf 2
bits 32
.protected:
        mov ax, KDATA
        mov ss, ax
        mov esp, [ss:saved_esp]
        mov ax, UDATA
        mov ds, ax
        mov es, ax
        mov fs, ax
        mov gs, ax
        lidt [idtr]
        mov esi, table
        mov edi, results
        mov ecx, rcount
.report: push dword [edi]
        push dword [esi + 4]
        push dword [esi]
        call check_equal
        add esi, 8
        add edi, 4
        loop .report
        ret

bits 16
align 8
rstubs:
%assign n 0
%rep 32
        times (rstubs + n * 8) - $ nop
        push word n
        jmp near rcaught
%assign n n + 1
%endrep
        times (rstubs + 32 * 8) - $ nop
        times 224 * 8 db 0xF4           ; HLT: nothing else is expected
; DS of the image; IP and vector are noted, the stack of RTRY comes back.
rcaught:
        push bp
        mov bp, sp
        push eax
        push ds
        mov ax, IMGSEG
        mov ds, ax
        mov ax, [bp + 2]
        cwde
        mov [OFF(r_vector)], eax
        mov ax, [bp + 4]
        mov [OFF(r_ip)], ax
        sub ax, [OFF(r_at)]
        mov [OFF(r_difference)], ax
        pop ds
        pop eax
        mov bp, [bp]
        push word IMGSEG
        pop ds
        mov sp, [OFF(r_sp)]
        cld
        jmp IMGSEG:OFF(.again)
.again: jmp [OFF(r_resume)]

rint70: push bp
        mov bp, sp
        push ax
        mov ax, [bp + 2]
        mov [OFF(int_ip)], ax
        mov ax, [bp + 4]
        mov [OFF(int_cs)], ax
        mov ax, [bp + 6]
        mov [OFF(int_flags)], ax
        lea ax, [bp + 2]
        mov [OFF(int_sp)], ax
        pushf
        pop word [OFF(int_inside)]
        pop ax
        pop bp
        iret
rstep:  push bp
        mov bp, sp
        inc word [OFF(steps)]
        push ax
        mov ax, [bp + 2]
        mov [OFF(step_ip)], ax
        pop ax
        pop bp
        iret
rirq0:  push bp
        mov bp, sp
        push ax
        inc word [OFF(irqs)]
        mov ax, [bp + 2]
        mov [OFF(irq_ip)], ax
        mov al, 0x20
        out 0x20, al
        pop ax
        pop bp
        iret
bits 32

section .data
align 8
scratch: times 64 db 0
saved_esp: dd 0
ridtr:  dw 0x3FF
        dd 0
ridtr2: dw 0
        dd 0
ridtr3: dw 0x3FF
        dd 0
spare:  dw 0x6000
other:  dd 0, 0
r_vector: dd 0
r_ip:   dd 0
r_at:   dw 0
r_difference: dw 0
r_resume: dw 0
r_sp:   dw 0
int_ip: dw 0
int_cs: dw 0
int_flags: dw 0
int_sp: dw 0
int_inside: dw 0
steps:  dw 0
step_ip: dw 0
irqs:   dw 0
irq_ip: dw 0
results: times 256 dd 0
section .text
