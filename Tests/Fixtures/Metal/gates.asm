; Gates between rings: call, interrupt and trap gates, stack switch, parameters, far and interrupt returns, conforming code, #TS.
%include "metal.inc"

R1CODE equ 0x100                ; further descriptors of this image
R1DATA equ 0x108
R2CODE equ 0x110
R2DATA equ 0x118
CONF   equ 0x120
CALLG  equ 0x128
BADSS  equ 0x130
SMALL  equ 0x138

main:
        DESC R1CODE, 0, 0xFFFFF, A_CODE + D1, 0xC
        DESC R1DATA, 0, 0xFFFFF, A_DATA + D1, 0xC
        DESC R2CODE, 0, 0xFFFFF, A_CODE + D2, 0xC
        DESC R2DATA, 0, 0xFFFFF, A_DATA + D2, 0xC
        DESC CONF, 0, 0xFFFFF, A_CONF, 0xC
        mov word [tss + 16], R1DATA + 1
        mov word [tss + 24], R2DATA + 2

        ; ---- call gates ----
%macro STACKED 0                ; copies 9 dwords of the current stack to `seen`, restores flat DS first
        push ds
        push dword UDATA
        pop ds
        pop dword [seen_ds]
        mov [seen_esp], esp
        push esi
        push edi
        push ecx
        push es
        push ds
        pop es
        mov esi, [seen_esp]
        mov edi, seen
        mov ecx, 10
        ss rep movsd
        pop es
        pop ecx
        pop edi
        pop esi
        mov [seen_cs], cs
        mov [seen_ss], ss
%endmacro

        GATE CALLG, KCODE, .gate0, 0, 0xEC
        TRY
        USER
        call CALLG + 3:0x12345678
.back0: int DONE
.gate0: STACKED
        retf
        ENDTRY
        GOT "call gate 3 to 0 and RETF back", DONE, NONE
        CHECK "call gate: SS0:ESP0 less four dwords", dword [seen_esp], ESP0 - 16
        CHECK "call gate: return address", dword [seen], .back0
        CHECK "call gate: caller's CS", dword [seen + 4], UCODE
        CHECK "call gate: caller's ESP", dword [seen + 8], USTACK
        CHECK "call gate: caller's SS", dword [seen + 12], UDATA
        CHECKMASK "call gate: CS has RPL 0", dword [seen_cs], 0xFFFF, KCODE
        CHECKMASK "call gate: SS has RPL 0", dword [seen_ss], 0xFFFF, KDATA
        CHECK "call gate: ESP of the caller is back", dword [exc_esp], USTACK

        GATE CALLG, KCODE, .gate3, 3, 0xEC
        TRY
        USER
        push dword 0x11
        push dword 0x22
        push dword 0x33
        call CALLG:0
.back3: int DONE
.gate3: STACKED
        retf 12
        ENDTRY
        GOT "call gate with three parameters and RETF 12", DONE, NONE
        CHECK "call gate: ESP with parameters", dword [seen_esp], ESP0 - 28
        CHECK "call gate: last parameter on top", dword [seen + 8], 0x33
        CHECK "call gate: first parameter below", dword [seen + 16], 0x11
        CHECK "call gate: caller's ESP includes the parameters", dword [seen + 20], USTACK - 12
        CHECK "RETF 12 releases both stacks", dword [exc_esp], USTACK

        ; 16-bit call gate: words
        GATE CALLG, C16, .gate16 - ORG_, 2, 0xE4
        TRY
        USER
        push word 0x1111
        push word 0x2222
        call CALLG:0
        nop
        int DONE
bits 16
.gate16:
        o32 push ds
        push word UDATA
        pop ds
        mov eax, [esp + 4]
        mov [dword seen], eax
        mov eax, [esp + 8]
        mov [dword seen + 4], eax
        mov eax, [esp + 12]
        mov [dword seen + 8], eax
        mov [dword seen_esp], esp
        o32 pop ds
        int DONE
bits 32
        ENDTRY
        GOT "16-bit call gate", DONE, NONE
        CHECK "16-bit call gate: words on the inner stack", dword [seen_esp], ESP0 - 16
        CHECKMASK "16-bit call gate: CS of the caller", dword [seen], 0xFFFF0000, UCODE << 16
        CHECK "16-bit call gate: parameters are words", dword [seen + 4], 0x11112222
        CHECKMASK "16-bit call gate: SP of the caller", dword [seen + 8], 0xFFFF, (USTACK - 4) & 0xFFFF
        CHECKMASK "16-bit call gate: CS is the target's", dword [exc_cs], 0xFFFF, C16

        ; same ring
        GATE CALLG, KCODE, .same, 5, 0x8C
        TRY
        call CALLG:0
.sameback:
        int DONE
.same:  STACKED
        retf
        ENDTRY
        GOT "call gate inside ring 0", DONE, NONE
        mov eax, [snap_esp]
        sub eax, 8
        CHECK "call gate inside a ring pushes two dwords, no parameters", dword [seen_esp], eax
        GATE CALLG, KCODE, .jumped, 0, 0x8C
        TRY
        jmp CALLG:0
        ud2
.jumped: int DONE
        ENDTRY
        GOT "JMP through a call gate", DONE, NONE
        ; conforming target: CPL stays
        GATE CALLG, CONF, .conf, 0, 0xEC
        TRY
        USER
        call CALLG:0
        int DONE
.conf:  mov eax, cs
        mov ebx, ss
        mov ecx, esp
        retf
        ENDTRY
        GOT "call gate to conforming code", DONE, NONE
        CHECK "conforming code keeps CPL 3", dword [exc_eax], CONF + 3
        CHECK "conforming code keeps the stack", dword [exc_ecx], USTACK - 8
        TRY
        USER
        jmp CALLG:0
        ENDTRY
        ; RETF of garbage faults in ring 3; the gate itself worked
        CHECKMASK "JMP through a gate to conforming code", dword [exc_eax], 0xFFFF, CONF + 3
        TRY
        USER
        call CONF:.conf
        int DONE
        ENDTRY
        GOT "CALL to conforming code of ring 0", DONE, NONE
        CHECK "CALL to conforming code keeps CPL 3", dword [exc_eax], CONF + 3

        ; ring 1 through ring 0
        GATE CALLG, R1CODE, .ring1, 0, 0xEC
        TRY
        USER
        call CALLG:0
        int DONE
.ring1: mov eax, cs
        mov ebx, ss
        mov ecx, esp
        push ss
        pop ds
        int DONE
        ENDTRY
        GOT "call gate 3 to 1", DONE, NONE
        CHECK "ring 1: CS", dword [exc_eax], R1CODE + 1
        CHECK "ring 1: SS", dword [exc_ebx], R1DATA + 1
        CHECK "ring 1: ESP1 of the TSS", dword [exc_ecx], ESP1 - 16
        CHECK "INT from ring 1 pushes its CS", dword [exc_cs], R1CODE + 1
        CHECKMASK "INT from ring 1 pushes its SS", dword [exc_ss], 0xFFFF, R1DATA + 1

        ; what gates refuse
        mov eax, CALLG
        GATE CALLG, KCODE, .jumped, 0, 0xCC
        FAULT3 "call gate of DPL 2 from ring 3", GP, CALLG, call CALLG:0
        GATE CALLG, KCODE, .jumped, 0, 0xEC
        FAULT3 "JMP through a gate to ring 0", GP, KCODE, jmp CALLG:0
        GATE CALLG, KCODE, .jumped, 0, 0xCC
        FAULT "call gate of DPL 2 with RPL 3", GP, CALLG, call CALLG + 3:0
        GATE CALLG, KCODE, .jumped, 0, 0x6C
        FAULT3 "absent call gate", NP, CALLG, call CALLG:0
        GATE CALLG, KDATA, .jumped, 0, 0xEC
        FAULT3 "call gate to data", GP, KDATA, call CALLG:0
        GATE CALLG, 0, .jumped, 0, 0xEC
        FAULT3 "call gate to null", GP, 0, call CALLG:0
        GATE CALLG, 0x7F00, .jumped, 0, 0xEC
        FAULT3 "call gate beyond the GDT", GP, 0x7F00, call CALLG:0
        GATE CALLG, TSS, .jumped, 0, 0xEC
        FAULT3 "call gate to a TSS", GP, TSS, call CALLG:0
        GATE CALLG, UCODE, .jumped, 0, 0x8C
        FAULT "call gate to an outer ring", GP, UCODE & ~3, call CALLG:0
        DESC T0, 0, 0xFFFFF, A_CODE - ABSENT, 0xC
        GATE CALLG, T0, .jumped, 0, 0xEC
        FAULT3 "call gate to absent code", NP, T0, call CALLG:0
        DESC T0, 0, 0xFFF, A_CODE, 4
        GATE CALLG, T0, 0x1000, 0, 0xEC
        FAULT3 "call gate beyond the code limit", GP, 0, call CALLG:0
        GATE CALLG, KCODE, .jumped, 0, 0x8E
        FAULT "far CALL to an interrupt gate", GP, CALLG, call CALLG:0

        ; the inner stack
%macro INNER 4                  ; name, vector, error, value of SS0
        mov word [tss + 8], %4
        TRY
        USER
        call CALLG:0
        ENDTRY
        mov word [tss + 8], KDATA
        GOT %1, %2, %3
%endmacro
        ; ring 1 is the target here: #TS itself needs a good SS0
        GATE CALLG, R1CODE, .jumped, 0, 0xEC
%macro INNER1 4
        mov word [tss + 16], %4
        FAULT3 %1, %2, %3, call CALLG:0
        mov word [tss + 16], R1DATA + 1
%endmacro
        INNER1 "inner stack: null", TS, 0, 0
        INNER1 "inner stack: wrong RPL", TS, R1DATA, R1DATA
        INNER1 "inner stack: wrong DPL", TS, R2DATA, R2DATA + 1
        INNER1 "inner stack: beyond the GDT", TS, 0x7F00, 0x7F01
        INNER1 "inner stack: code", TS, R1CODE, R1CODE + 1
        DESC BADSS, 0, 0xFFFFF, A_RO + D1, 0xC
        INNER1 "inner stack: read-only", TS, BADSS, BADSS + 1
        DESC BADSS, 0, 0xFFFFF, A_DATA + D1 - ABSENT, 0xC
        INNER1 "inner stack: absent", SS_, BADSS, BADSS + 1
        DESC BADSS, 0, 0xFF, A_DATA + D1, 4
        INNER1 "inner stack: no room", SS_, BADSS, BADSS + 1
        ; TSS too short for SS1:ESP1, long enough for SS0:ESP0
        DESC T1, tss, 0x0F, 0x89, 0
        mov eax, T1
        ltr ax
        FAULT3 "inner stack: TSS too short", TS, T1, call CALLG:0
        DESC TSS, tss, 0x67, 0x89, 0
        mov ax, TSS
        ltr ax

        ; ---- RETF and IRET to outer rings ----
        TRY
        mov ax, KDATA
        mov es, ax
        mov fs, ax
        mov ax, CONF
        mov gs, ax
        push dword UDATA
        push dword USTACK
        push dword UCODE
        push dword .outer
        retf
.outer: int DONE
        ENDTRY
        GOT "RETF from ring 0 to ring 3", DONE, NONE
        CHECKMASK "RETF to ring 3: CS", dword [exc_cs], 0xFFFF, UCODE
        CHECKMASK "RETF to ring 3: SS", dword [exc_ss], 0xFFFF, UDATA
        CHECK "RETF to ring 3: ESP", dword [exc_esp], USTACK
        CHECKMASK "RETF to ring 3 clears ES of DPL 0", dword [exc_es], 0xFFFF, 0
        CHECKMASK "RETF to ring 3 clears FS of DPL 0", dword [exc_fs], 0xFFFF, 0
        CHECKMASK "RETF to ring 3 keeps conforming code in GS", dword [exc_gs], 0xFFFF, CONF
        CHECKMASK "RETF to ring 3 keeps DS of DPL 3", dword [exc_ds], 0xFFFF, UDATA
        mov ax, UDATA
        mov es, ax
        mov fs, ax
        mov gs, ax
        ; what outer returns refuse
%macro OUTER 6                  ; name, vector, error, CS, SS, instruction
        push dword %5
        push dword USTACK
%ifidni %6, iretd
        push dword 2
%endif
        push dword %4
        push dword .outer
        FAULT %1, %2, %3, %6
        add esp, 16
%ifidni %6, iretd
        add esp, 4
%endif
%endmacro
        OUTER "RETF to ring 3 with a null SS", GP, 0, UCODE, 0, retf
        OUTER "RETF to ring 3 with SS of ring 0", GP, KDATA, UCODE, KDATA, retf
        OUTER "RETF to ring 3 with SS of RPL 0", GP, UDATA & ~3, UCODE, UDATA & ~3, retf
        OUTER "RETF to ring 3 with code as SS", GP, UCODE & ~3, UCODE, UCODE, retf
        DESC BADSS, 0, 0xFFFFF, A_DATA + D3 - ABSENT, 0xC
        OUTER "RETF to ring 3 with an absent SS", SS_, BADSS, UCODE, BADSS + 3, retf
        OUTER "RETF with RPL 3 to code of DPL 0", GP, KCODE, KCODE + 3, UDATA, retf
        OUTER "RETF with RPL 1 to code of DPL 3", GP, UCODE & ~3, UCODE & ~3 | 1, UDATA, retf
        OUTER "RETF with RPL 0 to code of DPL 3", GP, UCODE & ~3, UCODE & ~3, UDATA, retf
        OUTER "IRETD to ring 3 with a null SS", GP, 0, UCODE, 0, iretd
        OUTER "IRETD to ring 3 with SS of ring 0", GP, KDATA, UCODE, KDATA, iretd
        OUTER "IRETD with a null CS", GP, 0, 0, UDATA, iretd
        OUTER "IRETD to data", GP, KDATA, KDATA, UDATA, iretd
        OUTER "IRETD with RPL 3 to code of DPL 0", GP, KCODE, KCODE + 3, UDATA, iretd
        DESC T0, 0, 0xFFFFF, A_CODE + D3 - ABSENT, 0xC
        OUTER "IRETD to absent code", NP, T0, T0 + 3, UDATA, iretd
        DESC T0, 0, 0xFFF, A_CODE + D3, 4
        OUTER "IRETD beyond the code limit", GP, 0, T0 + 3, UDATA, iretd
        TRY
        USER
        push dword KCODE
        push dword .outer
        retf
        ENDTRY
        GOT "RETF to an inner ring", GP, KCODE
        TRY
        USER
        pushfd
        push dword KCODE
        push dword .outer
        iretd
        ENDTRY
        GOT "IRETD to an inner ring", GP, KCODE

        ; IRET and flags
        TRY
        USER
        push dword 0x3202 | FL_CF       ; IOPL 3 and IF asked for at CPL 3, IOPL 0
        push dword UCODE
        push dword .flags3
        iretd
.flags3: pushfd
        pop eax
        int DONE
        ENDTRY
        CHECKMASK "IRETD at CPL 3 changes neither IOPL nor IF", dword [exc_eax], 0x3201, FL_CF
        TRY
        push dword UDATA
        push dword USTACK
        push dword 0x3202
        push dword UCODE
        push dword .flags0
        iretd
.flags0: pushfd
        pop eax
        int DONE
        ENDTRY
        CHECKMASK "IRETD at CPL 0 sets IOPL and IF", dword [exc_eax], 0x3200, 0x3200
        TRY
        push dword UDATA
        push dword USTACK
        push dword 0x3002
        push dword UCODE
        push dword .flags1
        iretd
.flags1: sti
        pushfd
        pop eax
        cli
        push dword 2
        popfd
        pushfd
        pop ebx
        int DONE
        ENDTRY
        CHECKMASK "STI with IOPL 3 in ring 3", dword [exc_eax], FL_IF, FL_IF
        CHECKMASK "POPFD at CPL 3 leaves IOPL", dword [exc_ebx], 0x3000, 0x3000
        FAULT3 "STI with IOPL 0 in ring 3", GP, 0, sti
        FAULT3 "CLI with IOPL 0 in ring 3", GP, 0, cli
        FAULT3 "HLT in ring 3", GP, 0, hlt
        FAULT3 "IN with IOPL 0 in ring 3", GP, 0, in al, 0x80
        FAULT3 "LGDT in ring 3", GP, 0, lgdt [gdtr]
        FAULT3 "MOV from CR0 in ring 3", GP, 0, mov eax, cr0
        FAULT3 "MOV to DR7 in ring 3", GP, 0, mov dr7, eax
        FAULT3 "CLTS in ring 3", GP, 0, clts
        FAULT3 "LMSW in ring 3", GP, 0, lmsw ax
        FAULT3 "INVD in ring 3", GP, 0, invd
        FAULT3 "WBINVD in ring 3", GP, 0, wbinvd
        FAULT3 "INVLPG in ring 3", GP, 0, invlpg [0]
        FAULT3 "RDMSR in ring 3", GP, 0, rdmsr
        FAULT3 "WRMSR in ring 3", GP, 0, wrmsr

        ; ---- interrupt and trap gates ----
        IDTGATE 0x60, KCODE, .trap, 0xEF
        TRY
        push dword UDATA
        push dword USTACK
        push dword 0x202 | FL_CF | FL_NT
        push dword UCODE
        push dword .inuser
        iretd
.inuser: int 0x60
.afterint: pushfd
        pop eax
        int DONE
.trap:  STACKED
        pushfd
        pop dword [seen_flags]
        iretd
        ENDTRY
        GOT "INT through a trap gate and IRETD back", DONE, NONE
        CHECK "trap gate: return address", dword [seen], .afterint
        CHECK "trap gate: CS", dword [seen + 4], UCODE
        CHECKMASK "trap gate: flags image has NT and IF", dword [seen + 8], 0x4201, 0x4201
        CHECK "trap gate: ESP", dword [seen + 12], USTACK
        CHECK "trap gate: SS", dword [seen + 16], UDATA
        CHECK "trap gate: five dwords on the ring 0 stack", dword [seen_esp], ESP0 - 20
        CHECKMASK "trap gate keeps IF and clears NT", dword [seen_flags], 0x4200, FL_IF
        CHECKMASK "IRETD restores NT, IF and CF", dword [exc_eax], 0x4201, 0x4201
        IDTGATE 0x60, KCODE, .trap, 0xEE
        TRY
        push dword UDATA
        push dword USTACK
        push dword 0x202
        push dword UCODE
        push dword .inuser
        iretd
        ENDTRY
        CHECKMASK "interrupt gate clears IF", dword [seen_flags], FL_IF, 0
        IDTGATE 0x60, KCODE, .trap, 0xEE
        TRY
        int 0x60
        mov eax, esp
        int DONE
        ENDTRY
        mov eax, [snap_esp]
        sub eax, 12
        CHECK "INT inside ring 0 pushes three dwords", dword [seen_esp], eax
        mov eax, [snap_esp]
        CHECK "IRETD inside ring 0 releases three dwords", dword [exc_eax], eax
        ; 16-bit gates
        IDTGATE 0x60, C16, .int16 - ORG_, 0xE6
        TRY
        USER
        int 0x60
        nop
        int DONE
bits 16
.int16: mov ebx, [esp]
        mov ecx, [esp + 4]
        mov edx, [esp + 8]
        mov esi, esp
        int DONE
bits 32
        ENDTRY
        GOT "INT through a 16-bit interrupt gate", DONE, NONE
        CHECK "16-bit interrupt gate: five words", dword [exc_esi], ESP0 - 10
        CHECKMASK "16-bit interrupt gate: CS above IP", dword [exc_ebx], 0xFFFF0000, UCODE << 16
        CHECKMASK "16-bit interrupt gate: SP above FLAGS", dword [exc_ecx], 0xFFFF0000, (USTACK & 0xFFFF) << 16
        CHECKMASK "16-bit interrupt gate: SS", dword [exc_edx], 0xFFFF, UDATA
        ; conforming handler
        IDTGATE 0x60, CONF, .intconf, 0xEE
        TRY
        USER
        int 0x60
        int DONE
.intconf: mov eax, cs
        mov ecx, esp
        iretd
        ENDTRY
        GOT "interrupt gate to conforming code", DONE, NONE
        CHECK "conforming handler keeps CPL 3", dword [exc_eax], CONF + 3
        CHECK "conforming handler keeps the stack", dword [exc_ecx], USTACK - 12
        ; refusals
        IDTGATE 0x60, KCODE, .trap, 0x8E
        FAULT3 "INT n: gate of DPL 0 from ring 3", GP, 0x60 * 8 + 2, int 0x60
        IDTGATE 0x60, KCODE, .trap, 0xCE
        FAULT3 "INT n: gate of DPL 2 from ring 3", GP, 0x60 * 8 + 2, int 0x60
        IDTGATE 0x60, KCODE, .trap, 0x6E
        FAULT3 "INT n: absent gate", NP, 0x60 * 8 + 2, int 0x60
        FAULT "INT n: absent gate in ring 0", NP, 0x60 * 8 + 2, int 0x60
        IDTGATE 0x60, KCODE, .trap, 0x0E
        FAULT3 "INT n: privilege is checked before presence", GP, 0x60 * 8 + 2, int 0x60
        IDTGATE 0x60, KCODE, .trap, 0xEC
        FAULT "INT n: call gate in the IDT", GP, 0x60 * 8 + 2, int 0x60
        IDTGATE 0x60, 0, .trap, 0xEE
        FAULT3 "INT n: gate to null", GP, 0, int 0x60
        IDTGATE 0x60, KDATA, .trap, 0xEE
        FAULT3 "INT n: gate to data", GP, KDATA, int 0x60
        IDTGATE 0x60, UCODE, .trap, 0xEE
        FAULT "INT n: gate to an outer ring", GP, UCODE & ~3, int 0x60
        DESC T0, 0, 0xFFFFF, A_CODE - ABSENT, 0xC
        IDTGATE 0x60, T0, .trap, 0xEE
        FAULT3 "INT n: gate to absent code", NP, T0, int 0x60
        DESC T0, 0, 0xFFF, A_CODE, 4
        IDTGATE 0x60, T0, 0x1000, 0xEE
        FAULT3 "INT n: gate beyond the code limit", GP, 0, int 0x60
        IDTGATE 0x60, R1CODE, .trap, 0xEE
        mov word [tss + 16], 0
        FAULT3 "INT n: null inner stack", TS, 0, int 0x60
        mov word [tss + 16], R2DATA + 1
        FAULT3 "INT n: inner stack of the wrong DPL", TS, R2DATA, int 0x60
        DESC BADSS, 0, 0xFF, A_DATA + D1, 4
        mov word [tss + 16], BADSS + 1
        FAULT3 "INT n: inner stack without room", SS_, BADSS, int 0x60
        mov word [tss + 16], R1DATA + 1
        mov word [idtr], 0x60 * 8 + 6
        lidt [idtr]
        FAULT "INT n: one byte beyond the IDT limit", GP, 0x60 * 8 + 2, int 0x60
        IDTGATE 0x5F, KCODE, stubs + 0x5F * 16, 0xEE
        TRY
        int 0x5F
        ENDTRY
        GOT "INT n: last gate inside the IDT limit", 0x5F, NONE
        mov word [idtr], 0x7FF
        lidt [idtr]

        ; nested errors: EXT only where the program did not ask
        IDTGATE UD, KDATA, .trap, 0x8E
        FAULT "exception through a gate to data has EXT", GP, KDATA + 1, ud2
        IDTGATE UD, KCODE, .trap, 0x0E
        FAULT "exception through an absent gate has EXT", NP, UD * 8 + 3, ud2
        IDTBACK UD
        IDTGATE 3, KCODE, .trap, 0x8E
        FAULT3 "INT3 of DPL 0 from ring 3", GP, 3 * 8 + 2, int3
        IDTGATE 3, KCODE, .trap, 0x6E
        FAULT3 "INT3 absent has no EXT", NP, 3 * 8 + 2, int3
        IDTGATE 3, KCODE, stubs + 3 * 16, 0xEE
        IDTGATE 1, KCODE, .trap, 0x0E
        FAULT "INT1 with an absent gate has EXT", NP, 1 * 8 + 3, db 0xF1
        IDTBACK 1
        FAULT3 "INT 13 by a program of ring 3", GP, 13 * 8 + 2, int 13
        ; segment registers in the handler: unchanged by the gate
        ret

section .data
align 4
seen:       times 10 dd 0
seen_esp:   dd 0
seen_ds:    dd 0
seen_cs:    dd 0
seen_ss:    dd 0
seen_flags: dd 0
