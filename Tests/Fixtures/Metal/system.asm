; Exceptions without a home elsewhere, double faults, interrupts by PIC and PIT, A20, 16-bit code.
%include "metal.inc"

main:
        ; ---- traps of single instructions ----
        TRY
.i3:    int3
.i3n:   nop
        ENDTRY
        GOT "INT3", BP_, NONE
        CHECK "INT3: behind the instruction", dword [exc_eip], .i3n
        CHECKMASK "INT3: no RF", dword [exc_eflags], FL_RF, 0
        TRY
        int 3
        ENDTRY
        GOT "INT 3 with two bytes", BP_, NONE
        TRY
        mov al, 0x7F
        add al, 1
        into
.into:  nop
        ENDTRY
        GOT "INTO with OF", OF_, NONE
        CHECK "INTO: behind the instruction", dword [exc_eip], .into
        clc
        xor eax, eax
        OK "INTO without OF", into
        mov eax, -5
        mov dword [scratch], -10
        mov dword [scratch + 4], 10
        OK "BOUND inside", bound eax, [scratch]
        mov eax, 10
        OK "BOUND at the upper bound", bound eax, [scratch]
        mov eax, 11
        FAULT "BOUND above", BR, NONE, bound eax, [scratch]
        mov eax, -11
        FAULT "BOUND below", BR, NONE, bound eax, [scratch]
        mov dword [scratch], 0x0005FFFB
        mov eax, 0x12340006
        FAULT "BOUND with words", BR, NONE, bound ax, [scratch]
        mov eax, 0x12340005
        OK "BOUND with words inside", bound ax, [scratch]
        mov eax, 11
        mov dword [scratch], 0
        mov dword [scratch + 4], 0
        FAULT "BOUND in between", BR, NONE, bound eax, [scratch]
        CHECKMASK "BOUND: RF in the saved flags", dword [exc_eflags], FL_RF, FL_RF

        ; ---- FPU availability ----
        SETCR0 0, 4                     ; EM
        FAULT "EM: FPU instruction", NM, NONE, fld1
        OK "EM without MP: WAIT", fwait
        FAULT "EM: MMX instruction is undefined", UD, NONE, emms
        SETCR0 4, 0
        SETCR0 0, 8                     ; TS
        FAULT "TS: FPU instruction", NM, NONE, fld1
        FAULT "TS: FNINIT", NM, NONE, fninit
        FAULT "TS: FNSTSW AX", NM, NONE, fnstsw ax
        FAULT "TS: MMX instruction", NM, NONE, emms
        SETCR0 2, 0
        OK "TS without MP: WAIT", fwait
        SETCR0 0, 2
        FAULT "TS with MP: WAIT", NM, NONE, fwait
        FAULT3 "TS: FPU instruction in ring 3", NM, NONE, fld1
        clts
        OK "after CLTS", fld1
        fninit

        ; ---- #MF ----
        SETCR0 0, 0x20                  ; NE
        push word 0x037B                ; zero divide unmasked
        fldcw [esp]
        add esp, 2
        fld1
        fldz
        OK "the faulting FPU instruction itself goes through", fdivp
        FAULT "#MF at the next FPU instruction", MF, NONE, fld1
        FAULT "#MF at WAIT", MF, NONE, fwait
        OK "FNSTSW does not wait", fnstsw ax
        CHECKMASK "ES and ZE in the status word", eax, 0x84, 0x84
        OK "FNCLEX does not wait", fnclex
        OK "nothing pending after FNCLEX", fwait
        fninit
        SETCR0 0x20, 0

        ; ---- #AC ----
        SETCR0 0, 0x40000               ; AM
        mov dword [scratch], 0
        mov ebx, scratch + 1
%macro AC3 4+                   ; name, vector, error, instruction
        TRY
        push dword UDATA
        push dword USTACK
        push dword FL_AC | 2
        push dword UCODE
        push dword %%at
        iretd
%%at:   %4
        int DONE
        ENDTRY
        GOT %1, %2, %3
%endmacro
        AC3 "AC: unaligned dword in ring 3", AC, 0, mov eax, [ebx]
        AC3 "AC: unaligned word", AC, 0, mov ax, [ebx]
        AC3 "AC: byte", DONE, NONE, mov al, [ebx]
        AC3 "AC: aligned dword", DONE, NONE, mov eax, [ebx - 1]
        AC3 "AC: dword at an odd word", AC, 0, mov eax, [ebx + 1]
        AC3 "AC: unaligned write", AC, 0, mov [ebx], eax
        AC3 "AC: qword at a dword", AC, 0, fld qword [ebx + 3]
        FAULT3 "AC: flag clear", DONE, NONE, mov eax, [ebx]
        pushfd
        or dword [esp], FL_AC
        popfd
        OK "AC: ring 0", mov eax, [ebx]
        push dword 2
        popfd
        SETCR0 0x40000, 0
        AC3 "AC: CR0.AM clear", DONE, NONE, mov eax, [ebx]

        ; ---- double faults ----
%macro ABSENT_GATE 1
        IDTGATE %1, KCODE, stubs, 0x0E
%endmacro
        ABSENT_GATE DE
        TRY
        xor ecx, ecx
        div ecx
        ENDTRY
        GOT "#DE, then #NP: double fault", DF_, 0
        IDTBACK DE
        ABSENT_GATE GP
        mov eax, 0x7F00
        TRY
        mov es, ax
        ENDTRY
        GOT "#GP, then #NP: double fault", DF_, 0
        IDTBACK GP
        ABSENT_GATE UD
        TRY
        ud2
        ENDTRY
        GOT "#UD, then #NP: one after the other", NP, UD * 8 + 3
        IDTBACK UD
        IDTGATE DE, UCODE, stubs, 0x8E
        TRY
        xor ecx, ecx
        div ecx
        ENDTRY
        GOT "#DE, then #GP: double fault", DF_, 0
        IDTBACK DE
        ; IDT on two pages
        PAGING_ON
        mov esi, idt
        mov edi, VA(1) - 14 * 8
        mov ecx, 0x200
        rep movsd
        mov dword [idtr2 + 2], VA(1) - 14 * 8
        lidt [idtr2]
        PAGE 0, 0
        mov eax, 0x7F00
        TRY
        mov es, ax
        ENDTRY
        GOT "#GP, then #PF: one after the other", PF_, 0
        CHECK "its CR2 is in the IDT", dword [exc_cr2], VA(1) - 8
        PAGE 0, 7
        mov esi, idt
        mov edi, VA(1) - 13 * 8
        mov ecx, 0x200
        rep movsd
        mov dword [idtr2 + 2], VA(1) - 13 * 8
        lidt [idtr2]
        PAGE 1, 0
        TRY
        mov es, ax
        ENDTRY
        GOT "#GP, then #PF, then #PF: double fault", DF_, 0
        PAGE 1, 7
        lidt [idtr]
        ABSENT_GATE PF_
        PAGE 1, 0
        TRY
        mov al, [VA(1)]
        ENDTRY
        GOT "#PF, then #NP: double fault", DF_, 0
        CHECK "CR2 of the page fault", dword [exc_cr2], VA(1)
        IDTBACK PF_
        SETCR0 0x80000000, 0
        ; INT n is benign
        IDTGATE 0x60, KDATA, stubs, 0xEE
        FAULT "INT n, then #GP: no double fault", GP, KDATA, int 0x60

        ; ---- PIC and PIT ----
        IDTGATE 0x50, KCODE, irq0, 0x8E
        mov dword [ticks], 0
        mov al, 0x34                    ; counter 0, mode 2
        out 0x43, al
        mov al, 0x00
        out 0x40, al
        mov al, 0x08
        out 0x40, al
        mov al, 0xFE
        out 0x21, al
        sti
        hlt
        cli
        CHECK "IRQ 0 wakes HLT", dword [ticks], 1
        sti
        hlt
        hlt
        cli
        CHECK "two more", dword [ticks], 3
        ; without EOI no further interrupt
        mov byte [no_eoi], 1
        sti
        hlt
        cli
        mov eax, [ticks]
        mov [scratch], eax
        call wait_tick
        sti
        nop
        nop
        cli
        mov eax, [ticks]
        sub eax, [scratch]
        CHECK "without EOI IRQ 0 stays out", eax, 0
        mov al, 0x0B
        out 0x20, al
        in al, 0x20
        movzx eax, al
        CHECK "in-service register", eax, 1
        mov al, 0x20
        out 0x20, al
        mov byte [no_eoi], 0
        sti
        nop
        nop
        cli
        mov eax, [ticks]
        sub eax, [scratch]
        CHECK "EOI lets the waiting one in", eax, 1
        ; masked
        mov al, 0xFF
        out 0x21, al
        call wait_tick
        mov eax, [ticks]
        mov [scratch], eax
        sti
        nop
        nop
        nop
        cli
        mov eax, [ticks]
        sub eax, [scratch]
        CHECK "masked IRQ 0 stays out", eax, 0
        mov al, 0xFE
        out 0x21, al
        sti
        nop
        nop
        cli
        mov eax, [ticks]
        sub eax, [scratch]
        CHECK "unmasked, the latched one comes", eax, 1
        ; CLI keeps it out, IF restored by IRETD from the handler
        call wait_tick
        mov eax, [ticks]
        mov [scratch], eax
        nop
        mov eax, [ticks]
        sub eax, [scratch]
        CHECK "CLI keeps IRQ 0 out", eax, 0
        ; interrupt in ring 3
        TRY
        push dword UDATA
        push dword USTACK
        push dword FL_IF | 2
        push dword UCODE
        push dword .user
        iretd
.user:  mov eax, [ticks]
.spin:  cmp eax, [ticks]
        je .spin
        int DONE
        ENDTRY
        GOT "IRQ 0 interrupts ring 3", DONE, NONE
        CHECK "its CS", dword [irq_cs], UCODE
        ; interrupt in V86 mode, IOPL 0, by IF
        TRY
        V86 FL_IF
        mov eax, [ticks - ORG_]
.vspin: cmp eax, [ticks - ORG_]
        je .vspin
        ud2
bits 32
        ENDTRY
        GOT "IRQ 0 interrupts V86 mode", UD, NONE
        CHECK "its CS in V86 mode", dword [irq_cs], IMGSEG
        ; REP MOVSD is interruptible
        TRY
        mov dword [irq_ecx], 0
        mov dword [ticks], 0
        sti
.rep:   mov esi, 0x100000
        mov edi, 0x200000
        mov ecx, 0x10000
        rep movsd
        cmp dword [irq_ecx], 0
        jne .seen
        cmp dword [ticks], 200
        jb .rep
.seen:  cli
        ENDTRY
        cmp dword [irq_ecx], 0
        setne al
        movzx eax, al
        CHECK "IRQ 0 interrupts REP MOVSD", eax, 1
        CHECK "REP MOVSD completes", ecx, 0
        CHECK "and has moved everything", edi, 0x240000
        mov al, 0xFF
        out 0x21, al

        ; ---- A20 ----
        mov dword [0x200000], 0x2A2A2A2A
        mov dword [0x300000], 0x3B3B3B3B
        in al, 0x92
        and al, 0xFC
        out 0x92, al
        mov eax, [0x300000]
        CHECK "A20 off: address bit 20 is 0", eax, 0x2A2A2A2A
        mov dword [0x300000], 0x4C4C4C4C
        in al, 0x92
        or al, 2
        and al, 0xFE
        out 0x92, al
        CHECK "A20 off: a write went below", dword [0x200000], 0x4C4C4C4C
        CHECK "A20 on: it is back", dword [0x300000], 0x3B3B3B3B

        ; ---- 16-bit code in protected mode ----
        jmp C16:(.code16 - ORG_)
bits 16
.code16:
        mov eax, 0x12345678
        mov [dword results], eax
        mov bx, 0x1111
        a32 mov ax, [results]
        mov [dword results + 4], ax
        push dword 0xCAFE1234
        pop cx
        mov [dword results + 8], cx
        pop cx
        mov [dword results + 12], cx
        mov eax, [cs:.constant - ORG_]
        mov [dword results + 16], eax
        mov ebx, results
        mov dword [ebx + 20], 0x55
        mov esi, 1
        mov dword [ebx + esi * 8 + 16], 0x66
        mov ecx, 0x10003
        mov ax, 0
.l16:   inc ax
        loop .l16
        mov [dword results + 28], eax
        mov ecx, 0x3
        mov edx, 0
.l32:   inc dx
        a32 loop .l32
        mov [dword results + 32], edx
        call .near16
.n16:   mov [dword results + 36], edx
        mov [dword results + 40], esp
        call dword .near32
        jmp dword KCODE:.back
.constant: dd 0x0C0DE016
.near16: xor edx, edx
        pop dx
        push dx
        ret
.near32: db 0x66, 0xC3
bits 32
.back:  CHECK "16-bit code: 32-bit operand", dword [results], 0x12345678
        CHECKMASK "16-bit code: 32-bit address", dword [results + 4], 0xFFFF, 0x5678
        CHECKMASK "16-bit code: 32-bit PUSH, 16-bit POP", dword [results + 8], 0xFFFF, 0x1234
        CHECKMASK "16-bit code: upper half of the push", dword [results + 12], 0xFFFF, 0xCAFE
        CHECK "16-bit code: CS override with its base", dword [results + 16], 0x0C0DE016
        CHECK "16-bit code: displacement from EBX", dword [results + 20], 0x55
        CHECK "16-bit code: scaled index", dword [results + 24], 0x66
        CHECKMASK "16-bit code: LOOP counts CX", dword [results + 28], 0xFFFF, 3
        CHECKMASK "16-bit code: LOOP with 32-bit count", dword [results + 32], 0xFFFF, 3
        CHECK "16-bit code: CALL pushes a word", dword [results + 36], .n16 - ORG_
        mov eax, esp
        CHECK "16-bit code: ESP is even again", dword [results + 40], eax
        mov ax, UDATA
        mov ds, ax
        ret

irq0:   push eax
        mov eax, [esp + 8]
        mov [ss:irq_cs], eax
        mov [ss:irq_ecx], ecx
        inc dword [ss:ticks]
        cmp byte [ss:no_eoi], 0
        jne .done
        mov al, 0x20
        out 0x20, al
.done:  pop eax
        iretd

; Until IRQ 0 has been raised again: counter 0 has gone round.
wait_tick:
        push eax
        push ebx
        push ecx
        mov ecx, 3
.round: call .read
        mov ebx, eax
.low:   call .read
        cmp eax, ebx
        mov ebx, eax
        jbe .low
        loop .round
        pop ecx
        pop ebx
        pop eax
        ret
.read:  mov al, 0
        out 0x43, al
        in al, 0x40
        mov ah, al
        in al, 0x40
        xchg al, ah
        movzx eax, ax
        ret

section .data
align 8
scratch: times 64 db 0
results: times 64 db 0
ticks:  dd 0
irq_cs: dd 0
irq_ecx: dd 0
no_eoi: db 0
idtr2:  dw 0x7FF
        dd 0
section .text
