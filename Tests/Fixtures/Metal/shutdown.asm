; Shutdown: the image ends in a triple fault; CASE selects the way there.
; nasm -DCASE=0 -f bin -o shutdown.bin shutdown.asm
%include "metal.inc"
%ifndef CASE
%define CASE 0
%endif

main:
%if CASE = 0
        ; no IDT: #UD, #GP, #DF
        CHECK "before the triple fault without an IDT", dword [checks], 0
        mov word [idtr], 0
        lidt [idtr]
        ud2
%elif CASE = 1
        ; no stack for ring 0: #UD, #TS, #DF, #TS
        CHECK "before the triple fault without a stack for ring 0", dword [checks], 0
        mov word [tss + 8], 0
        USER
        ud2
%elif CASE = 2
        ; page directory gone: #PF, #PF, #DF, #PF
        CHECK "before the triple fault without pages", dword [checks], 0
        PAGING_ON
        mov eax, 0x90000
        mov cr3, eax
        nop
%elif CASE = 3
        ; real-address mode with SP 1: PUSH, and every delivery, straddles the limit
        CHECK "before the triple fault with SP 1 in real mode", dword [checks], 0
        lidt [ridtr]
        jmp C16:(.leave - ORG_)
bits 16
.leave: mov ax, D16
        mov ss, ax
        mov ds, ax
        mov eax, cr0
        and al, 0xFE
        mov cr0, eax
        jmp IMGSEG:(.real - ORG_)
.real:  mov ax, 0x2000
        mov ss, ax
        mov sp, 1
        push ax
bits 32
%else
        ; handlers that are absent, the one of #DF too
        CHECK "before the triple fault with absent handlers", dword [checks], 0
        IDTGATE GP, KCODE, stubs, 0x0E
        IDTGATE 8, KCODE, stubs, 0x0E
        mov eax, 0x7F00
        mov es, ax
%endif
        CHECK "this must not be reached", dword [checks], NONE
        ret

section .data
ridtr:  dw 0x3FF
        dd 0
section .text
