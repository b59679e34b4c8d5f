; Task switches: JMP, CALL, INT and IRET through TSS descriptors and task gates, 16- and 32-bit, and what they refuse.
%include "metal.inc"

TB      equ 0x100               ; TSS of task B, 32-bit
TC      equ 0x108               ; TSS of task C, 16-bit
GATEB   equ 0x110               ; task gate to B
TH      equ 0x118               ; fault handler tasks: 0x118 + 8 * (vector - 10)
TLDT    equ 0x140               ; LDT of task B
SCR     equ 0x148
STACKB  equ 0x2A000
STACKH  equ 0x29000
PD2     equ 0x87000

; Offsets of a 32-bit TSS
S_BACK equ 0
S_CR3  equ 28
S_EIP  equ 32
S_FL   equ 36
S_EAX  equ 40
S_ESP  equ 56
S_ES   equ 72
S_CS   equ 76
S_SS   equ 80
S_DS   equ 84
S_FS   equ 88
S_GS   equ 92
S_LDT  equ 96
S_T    equ 100

; Task B anew: entry point
%macro TASKB 1
        push dword %1
        call make_b
%endmacro

main:
        PAGING_ON
        call reset_tasks
        ; ---- JMP ----
        TASKB .jumped
        mov ebx, 0xB0B0B0B0
        jmp TB:0
.back1: jmp .went
.jumped:
        call collect
        jmp TSS:0
.went:  CHECK "JMP to a TSS: EAX of the task", dword [got_eax], 0xAAAA0001
        CHECK "JMP to a TSS: EDI of the task", dword [got_edi], 0xAAAA0008
        CHECK "JMP to a TSS: ESP of the task", dword [got_esp], STACKB
        CHECK "JMP to a TSS: TR", dword [got_tr], TB
        CHECK "JMP to a TSS: flags of the task", dword [got_flags], 0x0ED7 & ~FL_IF
        CHECKMASK "JMP to a TSS: NT is clear", dword [got_flags], FL_NT, 0
        CHECKMASK "JMP to a TSS: TS is set", dword [got_cr0], 8, 8
        CHECKMASK "JMP to a TSS: old task is no longer busy", dword [got_desc_a], 0xFF, 0x89
        CHECKMASK "JMP to a TSS: new task is busy", dword [got_desc_b], 0xFF, 0x8B
        CHECKMASK "JMP to a TSS: no back link", dword [tssb], 0xFFFF, 0xEEEE
        CHECK "JMP back: EBX of the old task", ebx, 0xB0B0B0B0
        CHECK "JMP back: EIP was saved", dword [tss + S_EIP], .back1
        movzx eax, byte [gdt + TB + 5]
        CHECK "JMP back: the left task is available", eax, 0x89
        str ax
        movzx eax, ax
        CHECK "JMP back: TR", eax, TSS
        clts
        ; ---- CALL and IRET ----
        TASKB .called
        mov dword [tssb], 0xEEEE0000
        call TB:0
.back2: jmp .went2
.called:
        call collect
        iretd
.went2: CHECKMASK "CALL to a TSS: NT is set", dword [got_flags], FL_NT, FL_NT
        CHECKMASK "CALL to a TSS: back link", dword [tssb], 0xFFFF, TSS
        CHECKMASK "CALL to a TSS: caller stays busy", dword [got_desc_a], 0xFF, 0x8B
        CHECKMASK "CALL to a TSS: new task is busy", dword [got_desc_b], 0xFF, 0x8B
        movzx eax, byte [gdt + TB + 5]
        CHECK "IRET from a task: it is available", eax, 0x89
        movzx eax, byte [gdt + TSS + 5]
        CHECK "IRET from a task: the caller is busy", eax, 0x8B
        CHECKMASK "IRET from a task: NT is clear in the saved flags", dword [tssb + S_FL], FL_NT, 0
        pushfd
        pop eax
        CHECKMASK "IRET from a task: NT of the caller", eax, FL_NT, 0
        CHECK "IRET from a task: EIP saved behind it", dword [tssb + S_EIP], .went2
        mov eax, cr0
        CHECKMASK "IRET from a task sets TS", eax, 8, 8
        FAULT "FPU instruction after a switch", NM, NONE, fnop
        clts
        OK "FPU instruction after CLTS", fnop
        ; ---- task gate ----
        GATE GATEB, TB, 0, 0, 0xE5
        TASKB .called
        mov dword [got_tr], 0
        call GATEB:0x1234
        CHECK "CALL through a task gate", dword [got_tr], TB
        TASKB .jumped
        mov dword [got_tr], 0
        jmp GATEB:0
        CHECK "JMP through a task gate", dword [got_tr], TB
        TASKB .called
        mov dword [got_tr], 0
        TRY
        USER
        call GATEB:0
        int DONE
        ENDTRY
        GOT "CALL through a task gate from ring 3 and IRET", DONE, NONE
        CHECK "the task ran", dword [got_tr], TB
        CHECK "its CS", dword [got_cs], KCODE
        CHECK "ring 3 is back", dword [exc_cs], UCODE
        IDTGATE 0x61, TB, 0, 0xE5
        TASKB .called
        mov dword [got_tr], 0
        int 0x61
        CHECK "INT through a task gate and IRET", dword [got_tr], TB
        CHECKMASK "INT through a task gate sets NT", dword [got_flags], FL_NT, FL_NT
        CHECK "INT through a task gate pushes nothing", dword [got_esp], STACKB
        ; an exception's error code
        IDTGATE NP, TB, 0, 0x85
        DESC SCR, 0, 0xFFFFF, A_DATA - ABSENT, 0xC
        TASKB .called_error
        mov eax, SCR
.retry: mov es, ax
        jmp .went3
.called_error:
        call collect
        pop dword [got_error]
        or byte [gdt + SCR + 5], 0x80
        iretd
.went3: CHECK "exception through a task gate pushes its error code", dword [got_error], SCR
        CHECK "exception through a task gate: ESP", dword [got_esp], STACKB - 4
        CHECK "exception through a task gate restarts the instruction", dword [tss + S_EIP], .retry
        CHECKMASK "exception through a task gate: RF in the saved flags", dword [tss + S_FL], FL_RF, FL_RF
        mov eax, es
        CHECK "and it has succeeded", eax, SCR
        IDTBACK NP
        mov ax, UDATA
        mov es, ax
        clts
        ; ---- LDTR, CR3, segments ----
        DESC TLDT, tldt, 15, 0x82, 0
        mov dword [tldt + 8], 0x0000FFFF
        mov dword [tldt + 12], 0x00CF9200
        mov esi, PD
        mov edi, PD2
        mov ecx, 0x400
        rep movsd
        mov dword [PD2 + 4], PT | 7
        TASKB .ldt
        mov dword [tssb + S_LDT], TLDT
        mov dword [tssb + S_FS], 8 + 4
        mov dword [tssb + S_CR3], PD2
        mov dword [0x60000], 0x600D600D
        call TB:0
        jmp .went4
.ldt:   call collect
        mov eax, [fs:0x60000]
        mov [got_error], eax
        mov eax, [0x400000 + 0x60000]
        mov [got_eax], eax
        iretd
.went4: CHECK "task switch loads LDTR", dword [got_ldt], TLDT
        CHECK "task switch loads FS from the new LDT", dword [got_error], 0x600D600D
        CHECK "task switch loads CR3", dword [got_eax], 0x600D600D
        CHECK "CR3 of the task", dword [got_cr3], PD2
        sldt ax
        movzx eax, ax
        CHECK "IRET brings LDTR back", eax, LDT
        mov eax, cr3
        CHECK "IRET brings CR3 back", eax, PD
        FAULT "and the page tables", PF_, 0, mov eax, [0x460000]
        CHECK "LDTR is not saved", dword [tssb + S_LDT], TLDT
        clts
        ; debug registers
        mov eax, 0x155
        mov dr7, eax
        TASKB .called
        call TB:0
        mov eax, dr7
        CHECKMASK "task switch clears the local breakpoints and LE", eax, 0x3FF, 0
        mov eax, 0x2AA
        mov dr7, eax
        TASKB .called
        call TB:0
        mov eax, dr7
        CHECKMASK "task switch keeps the global breakpoints and GE", eax, 0x3FF, 0x2AA
        xor eax, eax
        mov dr7, eax
        clts
        ; T bit
        xor eax, eax
        mov dr6, eax
        TASKB .called
        mov word [tssb + S_T], 1
        TRY
        call TB:0
        ENDTRY
        call reset_tasks
        GOT "T bit: #DB in the new task", DB_, NONE
        CHECK "T bit: before its first instruction", dword [exc_eip], .called
        CHECKMASK "T bit: BT in DR6", dword [exc_dr6], 0xE00F, 0x8000
        clts
        ; ---- 16-bit TSS ----
        mov edi, tssc
        xor eax, eax
        mov ecx, 44 / 4
        rep stosd
        mov word [tssc + 14], .task16 - ORG_
        mov word [tssc + 16], 2 | FL_CF
        mov word [tssc + 18], 0x1111
        mov word [tssc + 20], 0x2222
        mov word [tssc + 26], 0xFF00
        mov word [tssc + 34], UDATA
        mov word [tssc + 36], C16
        mov word [tssc + 38], D16
        mov word [tssc + 40], UDATA
        DESC TC, tssc, 0x2B, 0x81, 0
        mov eax, 0xAAAABBBB
        mov ebx, 0xCCCCDDDD
        call TC:0
        jmp .went5
bits 16
.task16:
        mov [dword got_eax], eax
        mov [dword got_ecx], ecx
        mov [dword got_esp], esp
        str [dword got_tr]
        pushf
        pop word [dword got_flags]
        mov eax, [dword gdt + TC + 4]
        mov [dword got_desc_b], ah
        iret
bits 32
.went5: CHECKMASK "16-bit TSS: AX", dword [got_eax], 0xFFFF, 0x1111
        CHECKMASK "16-bit TSS: CX", dword [got_ecx], 0xFFFF, 0x2222
        CHECKMASK "16-bit TSS: SP", dword [got_esp], 0xFFFF, 0xFF00
        CHECKMASK "16-bit TSS: TR", dword [got_tr], 0xFFFF, TC
        CHECKMASK "16-bit TSS: flags", dword [got_flags], 0x4001, 0x4001
        CHECKMASK "16-bit TSS: busy type", dword [got_desc_b], 0xFF, 0x83
        CHECKMASK "16-bit TSS: back link", dword [tssc], 0xFFFF, TSS
        CHECK "16-bit TSS: EAX of the 32-bit task is whole", eax, 0xAAAABBBB
        CHECK "16-bit TSS: EBX of the 32-bit task is whole", ebx, 0xCCCCDDDD
        movzx eax, byte [gdt + TC + 5]
        CHECK "16-bit TSS is available again", eax, 0x81
        movzx eax, word [tssc + 14]
        CHECK "16-bit TSS: IP is saved behind IRET", eax, .went5 - ORG_
        clts
        ; ---- refusals before the switch ----
        FAULT "JMP to the busy TSS itself", GP, TSS, jmp TSS:0
        FAULT "CALL to the busy TSS itself", GP, TSS, call TSS:0
        DESC TB, tssb, 0x67, 0x8B, 0
        FAULT "JMP to a busy TSS", GP, TB, jmp TB:0
        FAULT "CALL through a task gate to a busy TSS", GP, TB, call GATEB:0
        DESC TB, tssb, 0x67, 0x09, 0
        FAULT "JMP to an absent TSS", NP, TB, jmp TB:0
        FAULT "CALL through a task gate to an absent TSS", NP, TB, call GATEB:0
        DESC TB, tssb, 0x66, 0x89, 0
        FAULT "JMP to a TSS that is too short", TS, TB, jmp TB:0
        DESC TC, tssc, 0x2A, 0x81, 0
        FAULT "JMP to a 16-bit TSS that is too short", TS, TC, jmp TC:0
        DESC TB, tssb, 0x67, 0x89, 0
        FAULT3 "JMP from ring 3 to a TSS of DPL 0", GP, TB, jmp TB:0
        FAULT "CALL with RPL 3 to a TSS of DPL 0", GP, TB, call TB + 3:0
        GATE GATEB, TB, 0, 0, 0xC5
        FAULT3 "task gate of DPL 2 from ring 3", GP, GATEB, call GATEB:0
        GATE GATEB, TB, 0, 0, 0x65
        FAULT "absent task gate", NP, GATEB, call GATEB:0
        GATE GATEB, KDATA, 0, 0, 0xE5
        FAULT "task gate to data", GP, KDATA, call GATEB:0
        GATE GATEB, 0, 0, 0, 0xE5
        FAULT "task gate to null", GP, 0, call GATEB:0
        GATE GATEB, TB + 4, 0, 0, 0xE5
        FAULT "task gate into the LDT", GP, TB + 4, call GATEB:0
        GATE GATEB, 0x7F00, 0, 0, 0xE5
        FAULT "task gate beyond the GDT", GP, 0x7F00, call GATEB:0
        IDTGATE 0x61, KDATA, 0, 0xE5
        FAULT "INT through a task gate to data", GP, KDATA, int 0x61
        IDTGATE 0x61, TSS, 0, 0xE5
        FAULT "INT through a task gate to a busy TSS", GP, TSS, int 0x61
        ; IRET with NT
%macro NESTED 4                 ; name, vector, error, back link
        mov word [tss], %4
        pushfd
        or dword [esp], FL_NT
        popfd
        FAULT %1, %2, %3, iretd
        mov word [tss], 0
%endmacro
        NESTED "IRET with NT: back link to an available TSS", TS, TB, TB
        NESTED "IRET with NT: null back link", TS, 0, 0
        NESTED "IRET with NT: back link to data", TS, KDATA, KDATA
        NESTED "IRET with NT: back link to the LDT", TS, TB + 4, TB + 4
        NESTED "IRET with NT: back link beyond the GDT", TS, 0x7F00, 0x7F00
        DESC TB, tssb, 0x67, 0x0B, 0
        NESTED "IRET with NT: absent TSS", NP, TB, TB
        pushfd
        and dword [esp], ~FL_NT
        popfd
        ; ---- faults in the new task: #TS, #NP, #SS and #GP go to tasks of their own ----
        DESC TB, tssb, 0x67, 0x89, 0
%macro INTASK 5                 ; name, vector, error, field, value
        call reset_tasks
        TASKB .called
        call handler_tasks
        mov dword [tssb + %4], %5
        mov dword [resume_eip], %%end
        call snapshot
        call TB:0
%%end:  call reset_tasks
        GOT {%1}, %2, %3
        CHECKMASK {%1, ": in the new task"}, dword [got_back], 0xFFFF, TB
%endmacro
        INTASK "new task: null CS", TS, 0, S_CS, 0
        INTASK "new task: data as CS", TS, KDATA, S_CS, KDATA
        INTASK "new task: CS beyond the GDT", TS, 0x7F00, S_CS, 0x7F00
        mov dword [task_ss], UDATA
        INTASK "new task: CS of DPL 0 with RPL 3", TS, KCODE, S_CS, KCODE + 3
        mov dword [task_ss], KDATA
        DESC SCR, 0, 0xFFFFF, A_CODE - ABSENT, 0xC
        INTASK "new task: absent CS", NP, SCR, S_CS, SCR
        INTASK "new task: null SS", TS, 0, S_SS, 0
        INTASK "new task: code as SS", TS, KCODE, S_SS, KCODE
        INTASK "new task: SS of DPL 3", TS, UDATA & ~3, S_SS, UDATA
        INTASK "new task: SS of RPL 1", TS, KDATA, S_SS, KDATA + 1
        DESC SCR, 0, 0xFFFFF, A_DATA - ABSENT, 0xC
        INTASK "new task: absent SS", SS_, SCR, S_SS, SCR
        INTASK "new task: absent DS", NP, SCR, S_DS, SCR
        INTASK "new task: absent GS", NP, SCR, S_GS, SCR
        INTASK "new task: DS beyond the GDT", TS, 0x7F00, S_DS, 0x7F00
        DESC SCR, 0, 0xFFFFF, A_XONLY, 0xC
        INTASK "new task: execute-only code as ES", TS, SCR, S_ES, SCR
        INTASK "new task: DS of DPL 0 with RPL 3", TS, KDATA, S_DS, KDATA + 3
        INTASK "new task: TSS as LDT", TS, TSS, S_LDT, TSS
        INTASK "new task: LDT beyond the GDT", TS, 0x7F00, S_LDT, 0x7F00
        INTASK "new task: LDT selector into the LDT", TS, LDT + 4, S_LDT, LDT + 4
        DESC SCR, 0, 0xFFFFF, 0x02, 0
        INTASK "new task: absent LDT", TS, SCR, S_LDT, SCR
        call reset_tasks
        DESC SCR, main, 0xF, A_CODE, 4
        call handler_tasks
        TASKB 0x10
        mov dword [tssb + S_CS], SCR
        mov dword [resume_eip], .limit
        call snapshot
        call TB:0
.limit: call reset_tasks
        GOT "new task: EIP beyond the limit", GP, 0
        CHECKMASK "new task: EIP beyond the limit: in the new task", dword [got_back], 0xFFFF, TB
        ; ---- double fault to a task ----
        call reset_tasks
        call handler_tasks
        IDTGATE 8, TH, 0, 0x85
        IDTGATE GP, KCODE, main, 0x0E
        mov dword [resume_eip], .double
        call snapshot
        mov eax, 0x7F00
.bad:   mov es, ax
.double: call reset_tasks
        CHECK "double fault through a task gate: error code 0", dword [exc_error], 0
        CHECKMASK "double fault through a task gate: back link", dword [got_back], 0xFFFF, TSS
        CHECK "double fault through a task gate: the TSS names the culprit", dword [tss + S_EIP], .bad
        SETCR0 0x80000000, 0
        ret

; Task B with marks in every register.
make_b: pushad
        mov edi, tssb
        xor eax, eax
        mov ecx, 0x68 / 4
        cld
        rep stosd
        mov dword [tssb], 0xEEEE
        mov eax, [esp + 36]
        mov [tssb + S_EIP], eax
        mov dword [tssb + S_CR3], PD
        mov dword [tssb + S_FL], 0x0CD7
        mov eax, 0xAAAA0001
        mov edi, tssb + S_EAX
        mov ecx, 8
.fill:  stosd
        inc eax
        loop .fill
        mov dword [tssb + S_ESP], STACKB
        mov dword [tssb + 4], ESP0
        mov dword [tssb + 8], KDATA
        mov dword [tssb + S_CS], KCODE
        mov eax, [task_ss]
        mov [tssb + S_SS], eax
        mov dword [tssb + S_ES], UDATA
        mov dword [tssb + S_DS], UDATA
        mov dword [tssb + S_FS], UDATA
        mov dword [tssb + S_GS], UDATA
        mov dword [tssb + S_LDT], LDT
        mov word [tssb + S_T + 2], 0x68
        DESC TB, tssb, 0x67, 0x89, 0
        popad
        ret 4

; Back in the first task, whatever was left.
reset_tasks:
        pushfd
        pushad
        and dword [esp + 32], ~(FL_NT | FL_DF)
        DESC TSS, tss, 0x67, 0x89, 0
        mov ax, TSS
        ltr ax
        mov ax, LDT
        lldt ax
        mov dword [tss + S_CR3], PD
        mov dword [tss + S_LDT], LDT
        mov word [tss + S_T], 0
        IDTBACK 8
        IDTBACK TS
        IDTBACK NP
        IDTBACK SS_
        IDTBACK GP
        clts
        mov ax, UDATA
        mov ds, ax
        mov es, ax
        mov fs, ax
        mov gs, ax
        popad
        popfd
        ret

; #TS, #NP, #SS, #GP to tasks with stacks of their own
handler_tasks:
        pushad
        mov ebx, 10
.each:  imul edi, ebx, 0x68
        add edi, tssh - 10 * 0x68
        push edi
        xor eax, eax
        mov ecx, 0x68 / 4
        rep stosd
        pop edi
        mov eax, ebx
        shl eax, 3
        add eax, .entries - 80
        mov [edi + S_EIP], eax
        mov dword [edi + S_CR3], PD
        mov dword [edi + S_FL], 2
        mov dword [edi + S_ESP], STACKH
        mov dword [edi + S_CS], KCODE
        mov dword [edi + S_SS], KDATA
        mov dword [edi + S_ES], UDATA
        mov dword [edi + S_DS], UDATA
        mov dword [edi + S_FS], UDATA
        mov dword [edi + S_GS], UDATA
        mov dword [edi + S_LDT], LDT
        push dword 0x89
        push dword 0x67
        push edi
        lea eax, [gdt + TH + (ebx - 10) * 8]
        push eax
        call set_descriptor
        push dword 0x8500
        push dword 0
        lea eax, [TH + (ebx - 10) * 8]
        push eax
        lea eax, [idt + ebx * 8]
        push eax
        call set_gate
        inc ebx
        cmp ebx, 14
        jb .each
        popad
        ret
align 8
.entries:
%assign n 10
%rep 4
        push dword n
        jmp short .common
        align 8
%assign n n + 1
%endrep
.common:
        pop dword [exc_vector]
        pop dword [exc_error]
        str ax
        movzx eax, ax
        sub eax, TH
        shr eax, 3
        imul eax, 0x68
        mov eax, [tssh + eax]
        mov [got_back], eax
        mov esp, [resume_esp]
        pushfd
        and dword [esp], ~FL_NT
        popfd
        jmp [resume_eip]

; What a task sees, with its own registers still there.
collect:
        mov [got_eax], eax
        mov [got_ecx], ecx
        mov [got_edi], edi
        lea eax, [esp + 4]
        mov [got_esp], eax
        pushfd
        pop dword [got_flags]
        mov eax, cr0
        mov [got_cr0], eax
        mov eax, cr3
        mov [got_cr3], eax
        xor eax, eax
        str ax
        mov [got_tr], eax
        sldt ax
        mov [got_ldt], eax
        mov eax, cs
        mov [got_cs], eax
        mov al, [gdt + TSS + 5]
        mov [got_desc_a], al
        mov al, [gdt + TB + 5]
        mov [got_desc_b], al
        ret

section .data
align 8
tldt:   dq 0, 0
task_ss: dd KDATA
tssb:   times 0x68 db 0
tssc:   times 44 db 0
tssh:   times 0x68 * 4 db 0
got_eax: dd 0
got_ecx: dd 0
got_edi: dd 0
got_esp: dd 0
got_flags: dd 0
got_cr0: dd 0
got_cr3: dd 0
got_tr: dd 0
got_ldt: dd 0
got_cs: dd 0
got_desc_a: dd 0
got_desc_b: dd 0
got_error: dd 0
got_back: dd 0
