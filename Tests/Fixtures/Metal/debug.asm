; Single step, debug registers, shadows of MOV SS and STI.
%include "metal.inc"

; #DB goes to a handler that notes each event and goes on: address, DR6, saved flags.
; EVENTS name, expected count
%macro START 0
        mov dword [log_end], log
        mov dword [steps_left], 100
        call clear_dr6
%endmacro
; Number of events since START
%macro COUNT 2
        mov eax, [log_end]
        sub eax, log
        shr eax, 4
        CHECK %1, eax, %2
%endmacro
%define EVENT_EIP(n) dword [log + (n) * 16]
%define EVENT_DR6(n) dword [log + (n) * 16 + 4]
%define EVENT_FLAGS(n) dword [log + (n) * 16 + 8]
%define EVENT_ECX(n) dword [log + (n) * 16 + 12]
%macro TF_ON 0
        pushfd
        or dword [esp], FL_TF
        popfd
%endmacro
%macro TF_OFF 0
        pushfd
        and dword [esp], ~FL_TF
        popfd
%endmacro
%macro DR7 1
        push eax
        mov eax, %1
        mov dr7, eax
        pop eax
%endmacro
%macro DRN 2
        push eax
        mov eax, %2
        mov %1, eax
        pop eax
%endmacro
L0 equ 1
L1 equ 4
L2 equ 16
L3 equ 64
G0 equ 2
; type and length of breakpoint n: 0 execute, 1 write, 2 I/O, 3 read or write; length code 0, 1, 3
%define RWLEN(n, rw, len) (((rw) | (len) << 2) << (16 + (n) * 4))

main:
        IDTGATE 1, KCODE, debug_handler, 0x8E
        ; ---- TF ----
        START
        TF_ON
.s0:    nop
.s1:    nop
.s2:    TF_OFF
        COUNT "TF: an event after each instruction", 5
        CHECK "TF: first event behind the instruction after POPFD", EVENT_EIP(0), .s1
        CHECK "TF: second event", EVENT_EIP(1), .s2
        CHECKMASK "TF: BS in DR6", EVENT_DR6(0), 0xE00F, 0x4000
        CHECKMASK "TF: saved flags have TF", EVENT_FLAGS(0), FL_TF, FL_TF
        CHECKMASK "TF: saved flags have no RF", EVENT_FLAGS(0), FL_RF, 0
        ; REP: after each iteration, at the instruction
        START
        mov edi, PAGES
        mov ecx, 3
        TF_ON
.rep:   rep stosb
.rep1:  TF_OFF
        CHECK "TF: REP stops after the first iteration", EVENT_EIP(0), .rep
        CHECK "TF: ECX after the first iteration", EVENT_ECX(0), 2
        CHECK "TF: second iteration", EVENT_EIP(1), .rep
        CHECK "TF: third iteration ends it", EVENT_EIP(2), .rep1
        CHECK "TF: ECX is 0 then", EVENT_ECX(2), 0
        COUNT "TF: events of REP STOSB", 6
        ; taken jump
        START
        TF_ON
        jmp .target
        nop
.target: TF_OFF
        CHECK "TF: taken jump", EVENT_EIP(0), .target
        ; INT n clears TF and the handler is not stepped
        IDTGATE 0x60, KCODE, .int, 0xEE
        START
        TF_ON
        int 0x60
.afterint: nop
.afternop: TF_OFF
        jmp .intdone
.int:   pushfd
        pop dword [handler_flags]
        iretd
.intdone:
        CHECKMASK "TF: clear in the handler of INT n", dword [handler_flags], FL_TF, 0
        CHECK "TF: INT n is stepped over; IRETD returns without a trap", EVENT_EIP(0), .afternop
        ; MOV SS shadow
        START
        mov eax, KDATA
        TF_ON
.ss0:   mov ss, ax
.ss1:   nop
.ss2:   TF_OFF
        CHECK "TF: no trap between MOV SS and the next instruction", EVENT_EIP(0), .ss2
        START
        push ss
        TF_ON
        pop ss
        nop
.pop2:  TF_OFF
        CHECK "TF: no trap behind POP SS", EVENT_EIP(0), .pop2
        ; IRETD that sets TF: one instruction runs
        START
        pushfd
        or dword [esp], FL_TF
        push cs
        push dword .iret0
        iretd
.iret0: nop
.iret1: TF_OFF
        CHECK "TF: set by IRETD, one instruction runs", EVENT_EIP(0), .iret1
        ; POPFD that clears TF is itself stepped
        START
        TF_ON
        pushfd
        and dword [esp], ~FL_TF
        popfd
.cleared: nop
        COUNT "TF: POPFD that clears it is the last one stepped", 3
        CHECK "TF: its event", EVENT_EIP(2), .cleared
        ; a faulting instruction
        START
        TRY
        TF_ON
        ud2
        ENDTRY
        GOT "TF: fault before trap", UD, NONE
        COUNT "TF: a faulting instruction is not stepped", 0
        CHECKMASK "TF: saved flags of the fault have TF", dword [exc_eflags], FL_TF, FL_TF
        CHECKMASK "fault: saved flags have RF", dword [exc_eflags], FL_RF, FL_RF
        ; PUSHF shows TF
        START
        TF_ON
        pushfd
        pop ebx
        TF_OFF
        CHECKMASK "TF: PUSHFD pushes it", ebx, FL_TF, FL_TF
        ; in ring 3
        START
        TRY
        push dword UDATA
        push dword USTACK
        push dword FL_TF | 2
        push dword UCODE
        push dword .user0
        iretd
.user0: nop
.user1: nop
.user2: int DONE
        ENDTRY
        COUNT "TF: two events in ring 3", 2
        CHECK "TF: in ring 3", EVENT_EIP(0), .user1
        GOT "TF: INT n from ring 3", DONE, NONE
        ; INT1
        START
        db 0xF1
.icebp: COUNT "INT1 is an event", 1
        CHECK "INT1: behind it", EVENT_EIP(0), .icebp
        CHECKMASK "INT1: no bit in DR6", EVENT_DR6(0), 0xE00F, 0

        ; ---- instruction breakpoints ----
        DRN dr0, .bp0
        DRN dr1, .bp1
        START
        DR7 L0
        mov eax, 1
.bp0:   inc eax
.bp1:   inc eax
        mov ebx, eax
        DR7 0
        COUNT "execute breakpoint: one event", 1
        CHECK "execute breakpoint: before the instruction", EVENT_EIP(0), .bp0
        CHECKMASK "execute breakpoint: B0", EVENT_DR6(0), 0xE00F, 1
        CHECKMASK "execute breakpoint: no RF in the saved flags before it is set", EVENT_FLAGS(0), FL_TF, 0
        CHECK "execute breakpoint: the handler's RF lets the instruction run", ebx, 3
        START
        DR7 L0 | L1
        jmp .bp0b
.bp0b:  nop
        DR7 0
        COUNT "execute breakpoints elsewhere", 0
        DRN dr0, .bp2
        DRN dr1, .bp2
        START
        DR7 L0 | L1
.bp2:   nop
        DR7 0
        CHECKMASK "two breakpoints at one address", EVENT_DR6(0), 0xE00F, 3
        START
        DR7 G0
        mov eax, .bp2
        call .callbp2
        jmp .bpdone
.callbp2: DRN dr0, .bp3
.bp3:   nop
        ret
.bpdone: DR7 0
        COUNT "global enable", 1
        ; disabled: no event
        DRN dr0, .bp4
        START
        DR7 0
.bp4:   nop
        COUNT "disabled breakpoint", 0
        ; RF by IRETD lets it pass
        DRN dr0, .bp5
        START
        DR7 L0
        pushfd
        or dword [esp], FL_RF
        push cs
        push dword .bp5
        iretd
.bp5:   nop
        DR7 0
        COUNT "RF suppresses an execute breakpoint", 0
        DRN dr0, .bp6
        START
        DR7 L0
        pushfd
        or dword [esp], FL_RF
        popfd
.bp6:   nop
        DR7 0
        COUNT "POPFD does not set RF", 1
        ; MOV SS shadow hides it
        DRN dr0, .bp7
        START
        mov ecx, KDATA
        DR7 L0
        mov ss, cx
.bp7:   nop
        DR7 0
        COUNT "MOV SS hides an execute breakpoint on the next instruction", 0
        ; length of an execute breakpoint is one byte at the first byte
        DRN dr0, .bp8 + 1
        START
        DR7 L0
.bp8:   mov eax, 5
        DR7 0
        COUNT "breakpoint inside an instruction", 0

        ; ---- data breakpoints ----
        DRN dr0, data
        START
        DR7 L0 | RWLEN(0, 1, 0)
        mov al, [data]
.w0:    mov [data], al
.w1:    mov [data + 1], al
        mov [data - 1], al
        DR7 0
        COUNT "write byte: one event", 1
        CHECK "write: behind the instruction", EVENT_EIP(0), .w1
        CHECKMASK "write: B0", EVENT_DR6(0), 0xE00F, 1
        CHECKMASK "write: saved RF is clear", EVENT_FLAGS(0), FL_RF, 0
        START
        DR7 L0 | RWLEN(0, 3, 0)
        mov al, [data]
        mov [data], al
        mov al, [data + 1]
        cmp [data], al
        inc byte [data]
        DR7 0
        COUNT "read or write: four events", 4
        START
        DR7 L0 | RWLEN(0, 3, 3)
        mov al, [data]
        mov al, [data + 3]
        mov al, [data + 4]
        mov al, [data - 1]
        mov eax, [data - 3]
        mov eax, [data + 3]
        mov ax, [data - 2]
        DR7 0
        COUNT "four bytes: overlapping accesses", 4
        DRN dr1, data + 8
        START
        DR7 L1 | RWLEN(1, 1, 1)
        mov byte [data + 9], 1
        mov byte [data + 10], 1
        mov word [data + 7], 1
        DR7 0
        COUNT "two bytes in DR1", 2
        CHECKMASK "two bytes: B1", EVENT_DR6(0), 0xE00F, 2
        ; both
        DRN dr2, data
        START
        DR7 L0 | L2 | RWLEN(0, 1, 0) | RWLEN(2, 3, 3)
        mov [data], al
        DR7 0
        COUNT "two breakpoints, one event", 1
        CHECKMASK "two breakpoints: B0 and B2", EVENT_DR6(0), 0xE00F, 5
        ; stack
        lea eax, [esp - 4]
        DRN dr3, eax
        mov dr3, eax
        START
        DR7 L3 | RWLEN(3, 1, 3)
        push ebx
.pushed: pop ebx
        DR7 0
        CHECKMASK "PUSH: B3", EVENT_DR6(0), 8, 8
        ; strings
        DRN dr0, data + 4
        START
        mov esi, PAGES
        mov edi, data
        mov ecx, 8
        DR7 L0 | RWLEN(0, 1, 0)
.movs:  rep movsb
.movs1: DR7 0
        COUNT "REP MOVSB: one event", 1
        CHECK "REP MOVSB: after the iteration", EVENT_EIP(0), .movs
        CHECK "REP MOVSB: ECX", EVENT_ECX(0), 3
        START
        mov edi, data
        mov ecx, 5
        DR7 L0 | RWLEN(0, 1, 0)
        rep stosb
.stos1: DR7 0
        CHECK "REP STOSB: last iteration, behind the instruction", EVENT_EIP(0), .stos1
        ; with TF
        START
        DRN dr0, data
        DR7 L0 | RWLEN(0, 1, 0)
        TF_ON
        mov [data], al
        TF_OFF
        DR7 0
        CHECKMASK "write and single step together: B0 and BS", EVENT_DR6(0), 0xE00F, 0x4001
        ; a faulting access is no event
        START
        DESC T0, data, 0, A_RO, 4
        mov ax, T0
        mov es, ax
        DR7 L0 | RWLEN(0, 3, 0)
        TRY
        mov [es:0], al
        ENDTRY
        DR7 0
        mov ax, UDATA
        mov es, ax
        COUNT "refused write: no event", 0
        ; MOV SS delays a data breakpoint
        mov dword [data], KDATA
        START
        mov eax, data
        DR7 L0 | RWLEN(0, 3, 0)
        mov ss, [eax]
        nop
.ssd:   DR7 0
        CHECK "data breakpoint of MOV SS is reported one instruction later", EVENT_EIP(0), .ssd
        ; I/O
        SETCR4 0, 8                     ; DE
        DRN dr0, 0x80
        START
        DR7 L0 | RWLEN(0, 2, 0)
        out 0x80, al
.io1:   in al, 0x81
        mov al, [0x80]
        DR7 0
        COUNT "I/O breakpoint: one event", 1
        CHECK "I/O breakpoint: behind the instruction", EVENT_EIP(0), .io1
        START
        DR7 L0 | RWLEN(0, 2, 0)
        mov dx, 0x7E
        in eax, dx
        DR7 0
        COUNT "I/O breakpoint: dword access over the port", 1
        SETCR4 8, 0

        ; ---- the registers ----
        xor eax, eax
        mov dr6, eax
        mov eax, dr6
        CHECK "DR6 fixed bits", eax, 0xFFFF0FF0
        mov eax, -1
        and eax, ~0x2000 & ~0x000000FF
        and eax, 0x0000FFFF
        mov dr7, eax
        mov eax, dr7
        CHECKMASK "DR7 bit 10 is 1, bits 11, 12, 14 and 15 are 0", eax, 0xDC00, 0x400
        DR7 0
        mov eax, 0x13579BDF
        mov dr3, eax
        xor eax, eax
        mov eax, dr3
        CHECK "DR3 holds any value", eax, 0x13579BDF
        mov eax, dr6
        mov ebx, eax
        db 0x0F, 0x21, 0xE0             ; mov eax, dr4
        CHECK "DR4 is DR6 without CR4.DE", eax, ebx
        SETCR4 0, 8
        FAULT "DR4 with CR4.DE", UD, NONE, db 0x0F, 0x21, 0xE0
        FAULT "DR5 with CR4.DE", UD, NONE, db 0x0F, 0x23, 0xE8
        SETCR4 8, 0
        ; DR6 accumulates what software does not clear
        START
        DRN dr0, data
        TF_ON
        nop
        TF_OFF
        mov eax, dr6
        CHECKMASK "BS stays in DR6 until it is cleared", eax, 0x4000, 0x4000
        ; GD
        START
        IDTBACK 1
        call clear_dr6
        mov eax, 0x2000
        mov dr7, eax
        FAULT "GD: reading a debug register", DB_, NONE, mov ebx, dr0
        CHECKMASK "GD: BD in DR6", dword [exc_dr6], 0x2000, 0x2000
        mov eax, dr7
        CHECKMASK "GD: cleared for the handler", eax, 0x2000, 0
        ; in V86 mode
        IDTGATE 1, KCODE, debug_handler, 0x8E
        START
        TRY
        V86 FL_TF
.v0:    nop
.v1:    nop
        ud2
bits 32
        ENDTRY
        COUNT "TF in V86 mode", 2
        CHECK "TF in V86 mode: first event", EVENT_EIP(0), .v1 - ORG_

        ; ---- shadows and interrupts: IRQ 0 pending at once ----
        IDTGATE 0x50, KCODE, irq_handler, 0x8E
        call timer
        mov dword [irq_eip], 0
        sti
.sti0:  nop
.sti1:  nop
        nop
        cli
        mov eax, [irq_eip]
        CHECK "STI: one instruction runs before the interrupt", eax, .sti1
        call timer
        mov dword [irq_eip], 0
        sti
        cli
        nop
        nop
        CHECK "STI CLI: no interrupt in between", dword [irq_eip], 0
        sti
        nop
        cli
        call timer
        mov dword [irq_eip], 0
        push dword FL_IF | 2
        popfd
.popf0: nop
        nop
        cli
        CHECK "POPFD has no shadow", dword [irq_eip], .popf0
        call timer
        mov dword [irq_eip], 0
        mov eax, KDATA
        push dword FL_IF | 2
        push cs
        push dword .iretd
        cli
        iretd
.iretd: nop
        nop
        cli
        CHECK "IRETD has no shadow", dword [irq_eip], .iretd
        mov dword [irq_eip], 0
        mov dword [irq_count], 0
        call timer
        sti
        mov ss, ax
.mss0:  nop
.mss1:  nop
        cli
        cmp dword [irq_eip], .mss0
        setne al
        movzx eax, al
        CHECK "MOV SS behind STI keeps the interrupt out", eax, 1
        CHECK "and it comes afterwards", dword [irq_count], 1
        ; HLT wakes up behind itself
        call timer_start
        mov dword [irq_eip], 0
        sti
        hlt
.hlt1:  cli
        CHECK "HLT: the interrupt returns behind it", dword [irq_eip], .hlt1
        ret

clear_dr6:
        push eax
        xor eax, eax
        mov dr6, eax
        pop eax
        ret

; Notes an event; sets RF so that an execute breakpoint does not strike again.
debug_handler:
        push eax
        push ebx
        mov ebx, [ss:log_end]
        mov eax, [esp + 8]
        mov [ss:ebx], eax
        mov eax, dr6
        mov [ss:ebx + 4], eax
        mov eax, [esp + 16]
        mov [ss:ebx + 8], eax
        mov [ss:ebx + 12], ecx
        add dword [ss:log_end], 16
        or dword [esp + 16], FL_RF
        dec dword [ss:steps_left]
        jnz .on
        and dword [esp + 16], ~FL_TF
        xor eax, eax
        mov dr7, eax
.on:    push ecx
        mov ecx, dr6
        xor eax, eax
        test ecx, 0x4000
        jnz .keep
        mov dr6, eax
.keep:  pop ecx
        pop ebx
        pop eax
        iretd

irq_handler:
        push eax
        mov eax, [esp + 4]
        mov [ss:irq_eip], eax
        inc dword [ss:irq_count]
        mov al, 0xFF
        out 0x21, al
        mov al, 0x20
        out 0x20, al
        pop eax
        iretd

; Counter 0 of the 8254, mode 0, unmasked; `timer` waits until IRQ 0 is pending.
timer_start:
        push eax
        mov al, 0x30
        out 0x43, al
        mov al, 100
        out 0x40, al
        mov al, 0
        out 0x40, al
        mov al, 0xFE
        out 0x21, al
        pop eax
        ret
timer:
        push eax
        call timer_start
        mov al, 0x0A
        out 0x20, al
.wait:  in al, 0x20
        test al, 1
        jz .wait
        pop eax
        ret

section .data
align 16
        dq 0
data:   times 64 db 0
log:    times 16 * 128 db 0
log_end: dd log
steps_left: dd 0
handler_flags: dd 0
irq_eip: dd 0
irq_count: dd 0
