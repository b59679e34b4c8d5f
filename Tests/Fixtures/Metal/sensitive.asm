; The 17 sensitive instructions of the unprivileged set (SGDT SIDT SLDT SMSW PUSHF POPF LAR LSL VERR VERW POP PUSH CALL JMP INT RET
; STR MOV) in ring 0, ring 3 and virtual-8086 mode.
%include "metal.inc"

; VALUE3 name, instruction that leaves EAX, expected: in ring 3
%macro VALUE3 3
        TRY
        USER
        mov eax, 0x5A5A5A5A
        %2
        int DONE
        ENDTRY
        GOT {%1, ": runs in ring 3"}, DONE, NONE
        CHECK {%1, ": value in ring 3"}, dword [exc_eax], %3
%endmacro
%macro VALUE0 3
        TRY
        mov eax, 0x5A5A5A5A
        %2
        int DONE
        ENDTRY
        CHECK {%1, ": value in ring 0"}, dword [exc_eax], %3
%endmacro
; VALUEV name, instruction, expected: in virtual-8086 mode, IOPL 0
%macro VALUEV 3
        TRY
        V86 0
        mov eax, 0x5A5A5A5A
        %2
        ud2
bits 32
        ENDTRY
        GOT {%1, ": runs in V86 mode"}, UD, NONE
        CHECK {%1, ": value in V86 mode"}, dword [exc_eax], %3
%endmacro

%define OFF(x) (x) - ORG_

main:
        ; SGDT, SIDT: not privileged anywhere
        TRY
        sgdt [result]
        int DONE
        ENDTRY
        CHECKMASK "SGDT in ring 0: limit", dword [result], 0xFFFF, GDTLIMIT
        CHECK "SGDT in ring 0: base", dword [result + 2], gdt
        mov dword [result + 2], 0
        OK3 "SGDT runs in ring 3", sgdt [result]
        CHECK "SGDT in ring 3: base", dword [result + 2], gdt
        mov dword [result + 2], 0
        OKV "SGDT runs in V86 mode", 0, o32 sgdt [OFF(result)]
        CHECK "SGDT in V86 mode: base", dword [result + 2], gdt
        mov dword [result + 2], 0
        TRY
        sidt [result]
        ENDTRY
        CHECKMASK "SIDT in ring 0: limit", dword [result], 0xFFFF, 0x7FF
        CHECK "SIDT in ring 0: base", dword [result + 2], idt
        mov dword [result + 2], 0
        OK3 "SIDT runs in ring 3", sidt [result]
        CHECK "SIDT in ring 3: base", dword [result + 2], idt
        mov dword [result + 2], 0
        OKV "SIDT runs in V86 mode", 0, o32 sidt [OFF(result)]
        CHECK "SIDT in V86 mode: base", dword [result + 2], idt
        FAULT "SGDT to a register is undefined", UD, NONE, db 0x0F, 0x01, 0xC4

        ; SLDT, STR
        VALUE0 "SLDT", sldt ax, 0x5A5A0000 + LDT
        VALUE3 "SLDT", sldt ax, 0x5A5A0000 + LDT
        FAULTV "SLDT is undefined in V86 mode", UD, NONE, 0, sldt ax
        VALUE0 "STR", str ax, 0x5A5A0000 + TSS
        VALUE3 "STR", str ax, 0x5A5A0000 + TSS
        FAULTV "STR is undefined in V86 mode", UD, NONE, 0, str ax
        mov dword [result], -1
        sldt [result]
        CHECK "SLDT to memory writes a word", dword [result], 0xFFFF0000 + LDT
        mov dword [result], -1
        str [result]
        CHECK "STR to memory writes a word", dword [result], 0xFFFF0000 + TSS

        ; SMSW
        mov eax, cr0
        and eax, 0xFFFF
        mov [result], eax
        mov edx, eax
        or edx, 0x5A5A0000
        VALUE0 "SMSW", smsw ax, edx
        mov edx, [result]
        or edx, 0x5A5A0000
        TRY
        USER
        mov eax, 0x5A5A5A5A
        smsw ax
        int DONE
        ENDTRY
        GOT "SMSW: runs in ring 3", DONE, NONE
        CHECK "SMSW: value in ring 3", dword [exc_eax], edx
        TRY
        V86 0
        mov eax, 0x5A5A5A5A
        smsw ax
        ud2
bits 32
        ENDTRY
        CHECK "SMSW: value in V86 mode", dword [exc_eax], edx
        mov eax, cr0
        or eax, 2
        lmsw ax
        mov eax, cr0
        CHECKMASK "LMSW sets MP", eax, 2, 2
        mov eax, 0xFFF0
        lmsw ax
        mov eax, cr0
        CHECKMASK "LMSW does not clear PE", eax, 0xF, 1
        FAULTV "LMSW in V86 mode", GP, 0, FL_IOPL, lmsw ax

        ; PUSHF
        TRY
        USER
        stc
        pushfd
        pop eax
        int DONE
        ENDTRY
        CHECKMASK "PUSHF in ring 3 shows the flags", dword [exc_eax], 0x3203, 0x0003
        FAULTV "PUSHF with IOPL 0 in V86 mode", GP, 0, 0, pushf
        FAULTV "PUSHF with IOPL 2 in V86 mode", GP, 0, 0x2000, pushf
        TRY
        V86 FL_IOPL + FL_IF
        stc
        pushf
        pop ax
        pushfd
        pop ebx
        ud2
bits 32
        ENDTRY
        CHECKMASK "PUSHF with IOPL 3 in V86 mode", dword [exc_eax], 0xFFFF, 0x3203
        CHECKMASK "PUSHFD in V86 mode hides VM and RF", dword [exc_ebx], 0x33000, 0x3000

        ; POPF
        TRY
        push dword 0x3246
        popfd
        pushfd
        pop eax
        cli
        int DONE
        ENDTRY
        CHECKMASK "POPF in ring 0 changes IOPL and IF", dword [exc_eax], 0x3246, 0x3246
        TRY
        USER
        push dword 0x3203
        popfd
        pushfd
        pop eax
        int DONE
        ENDTRY
        CHECKMASK "POPF in ring 3 ignores IOPL and IF without a fault", dword [exc_eax], 0x3203, 0x0003
        TRY
        USER
        push dword 0x3203 | FL_VM | FL_RF
        popfd
        pushfd
        pop eax
        int DONE
        ENDTRY
        CHECKMASK "POPFD ignores VM", dword [exc_eax], FL_VM | FL_RF, 0
        TRY
        push dword FL_VM | 2
        popfd
        pushfd
        pop eax
        int DONE
        ENDTRY
        CHECKMASK "POPFD in ring 0 ignores VM", dword [exc_eflags], FL_VM, 0
        FAULTV "POPF with IOPL 0 in V86 mode", GP, 0, 0, popf
        TRY
        V86 FL_IOPL
        push word 0x0202
        popf
        pushf
        pop ax
        ud2
bits 32
        ENDTRY
        CHECKMASK "POPF with IOPL 3 in V86 mode changes IF, not IOPL", dword [exc_eax], 0x3200, 0x3200
        FAULTV "CLI with IOPL 0 in V86 mode", GP, 0, 0, cli
        FAULTV "STI with IOPL 0 in V86 mode", GP, 0, 0, sti
        OKV "CLI with IOPL 3 in V86 mode", FL_IOPL, cli
        FAULTV "IRET with IOPL 0 in V86 mode", GP, 0, 0, iret
        FAULTV "HLT with IOPL 3 in V86 mode", GP, 0, FL_IOPL, hlt

        ; LAR, LSL, VERR, VERW
        mov edx, KDATA
        VALUE0 "LAR", {lar ax, dx}, 0x5A5A9300
        mov edx, UDATA
        VALUE3 "LAR", {lar ax, dx}, 0x5A5AF300
        mov edx, KDATA
        VALUE3 "LAR of ring 0", {lar eax, edx}, 0x5A5A5A5A
        FAULTV "LAR is undefined in V86 mode", UD, NONE, 0, lar eax, edx
        VALUE0 "LSL", {lsl eax, edx}, 0xFFFFFFFF
        VALUE3 "LSL of ring 0", {lsl eax, edx}, 0x5A5A5A5A
        mov edx, UDATA
        VALUE3 "LSL", {lsl eax, edx}, 0xFFFFFFFF
        FAULTV "LSL is undefined in V86 mode", UD, NONE, 0, lsl eax, edx
%macro VER 4                    ; name, instruction, selector, ZF
        mov edx, %3
        TRY
        USER
        %2 dx
        pushfd
        pop eax
        int DONE
        ENDTRY
        CHECKMASK {%1, " in ring 3"}, dword [exc_eax], FL_ZF, %4
%endmacro
        VER "VERR of ring 3 data", verr, UDATA, FL_ZF
        VER "VERR of ring 0 data", verr, KDATA, 0
        VER "VERW of ring 3 data", verw, UDATA, FL_ZF
        VER "VERW of ring 0 data", verw, KDATA, 0
        VER "VERR of null", verr, 0, 0
        FAULTV "VERR is undefined in V86 mode", UD, NONE, 0, verr ax
        FAULTV "VERW is undefined in V86 mode", UD, NONE, 0, verw ax
        FAULTV "ARPL is undefined in V86 mode", UD, NONE, 0, db 0x63, 0xD8
        FAULTV "LLDT is undefined in V86 mode", UD, NONE, 0, lldt ax
        FAULTV "LTR is undefined in V86 mode", UD, NONE, 0, ltr ax

        ; PUSH and POP of segment registers, MOV
        TRY
        USER
        push cs
        pop eax
        push ss
        pop ebx
        mov ecx, cs
        mov edx, ss
        int DONE
        ENDTRY
        CHECKMASK "PUSH CS in ring 3 shows CPL", dword [exc_eax], 0xFFFF, UCODE
        CHECKMASK "PUSH SS in ring 3 shows CPL", dword [exc_ebx], 0xFFFF, UDATA
        CHECK "MOV from CS in ring 3 shows CPL, zero-extended", dword [exc_ecx], UCODE
        CHECK "MOV from SS in ring 3", dword [exc_edx], UDATA
        TRY
        USER
        push dword KDATA
        pop es
        int DONE
        ENDTRY
        GOT "POP ES of ring 0 data in ring 3", GP, KDATA
        CHECK "POP ES leaves ESP", dword [exc_esp], USTACK - 4
        mov eax, KDATA
        FAULT3 "MOV ES of ring 0 data in ring 3", GP, KDATA, mov es, ax
        TRY
        V86 0
        push cs
        pop ax
        mov bx, 0xB800
        mov es, bx
        mov cx, es
        push word 0x1234
        pop fs
        mov dx, fs
        ud2
bits 32
        ENDTRY
        CHECKMASK "PUSH CS in V86 mode", dword [exc_eax], 0xFFFF, IMGSEG
        CHECKMASK "MOV ES in V86 mode takes any value", dword [exc_ecx], 0xFFFF, 0xB800
        CHECKMASK "POP FS in V86 mode takes any value", dword [exc_edx], 0xFFFF, 0x1234
        CHECKMASK "the interrupt pushes ES of V86 mode", dword [exc_es], 0xFFFF, 0xB800
        CHECKMASK "the interrupt pushes FS of V86 mode", dword [exc_fs], 0xFFFF, 0x1234

        ; CALL, JMP, RET between segments
        FAULT3 "far CALL to ring 0 in ring 3", GP, KCODE, call KCODE:0
        FAULT3 "far JMP to ring 0 in ring 3", GP, KCODE, jmp KCODE:0
        TRY
        USER
        call UCODE:.far3
        int DONE
.far3:  mov eax, [esp + 4]
        retf
        ENDTRY
        GOT "far CALL and RETF inside ring 3", DONE, NONE
        CHECKMASK "far CALL in ring 3 pushes CS with CPL", dword [exc_eax], 0xFFFF, UCODE
        TRY
        USER
        jmp (UCODE & ~3):.far4
.far4:  mov eax, cs
        int DONE
        ENDTRY
        CHECK "far JMP with RPL 0 keeps CPL 3", dword [exc_eax], UCODE
        TRY
        V86 0
        call IMGSEG:(.farv - ORG_)
        mov dx, sp
        jmp (IMGSEG + 1):(.farv2 - ORG_ - 16)
.farv:  mov bp, sp
        mov bx, [bp + 2]
        retf
.farv2: mov cx, cs
        ud2
bits 32
        ENDTRY
        GOT "far CALL, RETF and JMP in V86 mode", UD, NONE
        CHECKMASK "far CALL in V86 mode pushes CS", dword [exc_ebx], 0xFFFF, IMGSEG
        CHECKMASK "RETF in V86 mode releases the stack", dword [exc_edx], 0xFFFF, V86SP
        CHECKMASK "far JMP in V86 mode loads CS as it is", dword [exc_ecx], 0xFFFF, IMGSEG + 1
        TRY
        USER
        push dword KCODE
        push dword main
        retf
        ENDTRY
        GOT "RETF to ring 0 in ring 3", GP, KCODE

        ; INT
        FAULT3 "INT n of DPL 0 in ring 3", GP, 0x20 * 8 + 2, int 0x20
        TRY
        USER
        int 0x41
        ENDTRY
        GOT "INT n of DPL 3 in ring 3", 0x41, NONE
        CHECK "INT n pushes the next instruction", dword [exc_cs], UCODE
        FAULTV "INT n with IOPL 0 in V86 mode", GP, 0, 0, int 0x41
        FAULTV "INT n with IOPL 2 in V86 mode", GP, 0, 0x2000, int 0x41
        TRY
        V86 FL_IOPL
        int 0x41
bits 32
        ENDTRY
        GOT "INT n with IOPL 3 in V86 mode", 0x41, NONE
        TRY
        V86 0
        int3
bits 32
        ENDTRY
        GOT "INT3 with IOPL 0 in V86 mode", 3, NONE
        TRY
        V86 FL_OF
        into
bits 32
        ENDTRY
        GOT "INTO with IOPL 0 in V86 mode", 4, NONE
        ret

section .data
align 4
result: times 16 db 0
