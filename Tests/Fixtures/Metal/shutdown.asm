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
%elif CASE = 5
        ; jump into the void: nothing answers at 1 GiB, and the IDT is too short for what follows
        CHECK "before the triple fault in the void", dword [checks], 0
        mov word [idtr], 0x2F
        lidt [idtr]
        jmp KCODE:0x40000000
%elif CASE = 6
        ; stack fault in ring 0: the stack segment ends below the stack pointer
        CHECK "before the triple fault with a small stack segment", dword [checks], 0
        DESC T0, 0, 0xFFFF, A_DATA, 4
        mov eax, T0
        mov ss, ax
        mov esp, KSTACK
        push eax
%elif CASE = 7
        ; task gates: #UD's names a TSS that is too short, #DF's names a code segment
        CHECK "before the triple fault behind task gates", dword [checks], 0
        DESC T1, 0x7000, 0x2B, 0x89, 0
        IDTGATE UD, T1, 0, 0x85
        IDTGATE TS, T0, 0, 0x85
        IDTGATE 8, KCODE, 0, 0x85
        ud2
%elif CASE = 8
        ; handlers in a code segment that the GDT does not have, #DF's in a data segment
        CHECK "before the triple fault with handlers beyond the GDT", dword [checks], 0
        IDTGATE BR, 0x7F8, stubs, 0x8E
        IDTGATE GP, 0x7F8, stubs, 0x8E
        IDTGATE 8, KDATA, stubs, 0x8E
        mov eax, 5
        bound eax, [.bounds]
.bounds: dd 0, 1
%elif CASE = 9
        ; the stack's page is gone
        CHECK "before the triple fault without a stack page", dword [checks], 0
        PAGING_ON
        mov esp, VA(4) + 0x800
        mov dword [PTE(4)], 0
        invlpg [VA(4)]
        push eax
%elif CASE = 10
        ; a stack pointer in 64-bit mode that is not canonical
        CHECK "before the triple fault in 64-bit mode", dword [checks], 0
        mov edi, 0x80000
        xor eax, eax
        mov ecx, 3 * 1024
        rep stosd
        mov dword [0x80000], 0x81003
        mov dword [0x81000], 0x82003
        mov dword [0x82000], 0x00083            ; 2 MiB, one to one
        mov eax, cr4
        or eax, CR4_PAE
        mov cr4, eax
        mov eax, 0x80000
        mov cr3, eax
        mov ecx, 0xC0000080
        rdmsr
        or eax, 0x100
        wrmsr
        mov eax, cr0
        or eax, 0x80000000
        mov cr0, eax
        ; a 64-bit code segment, and gates of 16 bytes for all
        DESC T0, 0, 0xFFFFF, A_CODE, 0xA
        mov edi, 0x90000
        mov ecx, 32
.gates: mov dword [edi], T0 << 16
        mov dword [edi + 4], 0x8E00
        mov dword [edi + 8], 0
        mov dword [edi + 12], 0
        add edi, 16
        loop .gates
        mov word [idtr], 0x1FF
        mov dword [idtr + 2], 0x90000
        lidt [idtr]
        jmp T0:.long
cpu x64
bits 64
.long:  mov rsp, 0x8000000000001000
        push rax
bits 32
cpu 686
%elif CASE = 11
        ; a gate that is none, an empty one, and a handler beyond its code segment's limit
        CHECK "before the triple fault with odd gates", dword [checks], 0
        IDTGATE UD, KCODE, stubs, 0x92
        DESC T0, 0, 0x0FFF, A_CODE, 4
        IDTGATE GP, T0, 0x1234, 0x8E
        IDTGATE 8, 0, 0, 0
        ud2
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
