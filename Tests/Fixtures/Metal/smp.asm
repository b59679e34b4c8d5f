; Four processors: start-up by INIT and SIPI, locks, interrupts between processors, TLB shootdown, code that another one changes.
%include "metal.inc"

TRAMPOLINE equ 0x8000           ; SIPI vector 8
APSTACKS equ 0x50000            ; 4 KiB each
APICPT  equ 0x82000             ; page table for the APIC's registers
APIC    equ 0xFEE00000
ICR     equ APIC + 0x300
OTHERS  equ 0xC0000             ; shorthand: all but itself
CALLV   equ 0x60                ; vectors between processors
SEENV   equ 0x61

; IPI destination (APIC ID or set), low half of ICR
%macro IPI 2
        mov dword [ICR + 0x10], (%1) << 24
        mov dword [ICR], %2
%endmacro
; Has the other three do a job; returns when they are done.
%macro JOB 1
        mov dword [finished], 0
        mov dword [job], %1
        inc dword [phase]
        AWAIT finished, 3
%endmacro
; Spins until a variable has a value; a limit of time makes a failed check of it.
%macro AWAIT 2
        mov ecx, 2000000
%%spin: pause
        cmp dword [%1], %2
        je %%there
        dec ecx
        jnz %%spin
%%there:
%endmacro

main:
        mov dword [APIC + 0xF0], 0x1FF
        mov ecx, 0x1B
        rdmsr
        CHECKMASK "the first processor has the flag of the bootstrap processor", eax, 0x900, 0x900
        CHECK "its APIC ID is 0", dword [APIC + 0x20], 0
        IDTGATE CALLV, KCODE, on_call, 0x8E
        IDTGATE SEENV, KCODE, on_seen, 0x8E
        IDTGATE 2, KCODE, on_nmi, 0x8E
        call build_pages
        mov dword [PD + (APIC >> 22) * 4], APICPT | 7
        mov dword [APICPT + (APIC >> 12 & 0x3FF) * 4], APIC | 0x13
        mov dword [PH(0)], 0x11111111
        mov dword [PH(1)], 0x22222222
        mov esi, trampoline
        mov edi, TRAMPOLINE
        mov ecx, trampoline_end - trampoline
        rep movsb
        ; ---- start-up ----
        IPI 0, OTHERS | 0x4500
        CHECK "INIT alone starts nobody", dword [arrived], 0
        IPI 0, OTHERS | 0x4600 | TRAMPOLINE >> 12
        AWAIT arrived, 3
        CHECK "INIT and SIPI start three processors", dword [arrived], 3
        IPI 0, OTHERS | 0x4600 | TRAMPOLINE >> 12
        mov ecx, 20000
.later: pause
        loop .later
        CHECK "running processors ignore SIPI", dword [arrived], 3
        JOB identify
        CHECK "all took the job", dword [finished], 3
%assign n 1
%rep 3
%defstr NUMBER n
        CHECK {"APIC ID in CPUID, processor ", NUMBER}, dword [cpuid_ids + n * 4], n
        CHECK {"no flag of the bootstrap processor, processor ", NUMBER}, dword [base_flags + n * 4], 0x800
%assign n n + 1
%endrep

        ; ---- locks ----
        mov dword [finished], 0
        mov dword [job], count_under_lock
        inc dword [phase]
        call count_under_lock
        AWAIT finished, 3
        CHECK "a spin lock keeps a counter whole", dword [counter], 4 * 1000
        mov dword [finished], 0
        mov dword [job], count_locked
        inc dword [phase]
        call count_locked
        AWAIT finished, 3
        CHECK "LOCK INC and LOCK XADD lose nothing", dword [locked], 4 * 2000

        ; ---- translations ----
        JOB page
%assign n 1
%rep 3
%defstr NUMBER n
        CHECK {"first page, processor ", NUMBER}, dword [loaded + n * 4], 0x11111111
%assign n n + 1
%endrep
        mov dword [PTE(0)], PH(1) | 7
        IPI 0, OTHERS | 0x4000 | CALLV
        AWAIT called, 3
        CHECK "an interrupt reaches the other three", dword [called], 3
        JOB load
%assign n 1
%rep 3
%defstr NUMBER n
        CHECK {"page after the shootdown, processor ", NUMBER}, dword [loaded + n * 4], 0x22222222
%assign n n + 1
%endrep

        ; ---- code ----
        JOB run_patched
        CHECK "code before the change", dword [results + 4], 0x33333333
        mov dword [patched + 1], 0x44444444
        JOB run_patched
%assign n 1
%rep 3
%defstr NUMBER n
        CHECK {"code after the change, processor ", NUMBER}, dword [results + n * 4], 0x44444444
%assign n n + 1
%endrep
        ; changed while the others run it in a loop
        mov dword [finished], 0
        mov dword [job], until_patched
        inc dword [phase]
        mov ecx, 3000
.run:   pause
        loop .run
        mov dword [patched + 1], 0x55555555
        AWAIT finished, 3
        CHECK "code that runs while it is changed", dword [finished], 3

        ; ---- destinations ----
        JOB set_logical
        mov dword [APIC + 0xD0], 1 << 24
        IPI 2, 0x4000 | SEENV
        AWAIT seen, 1 << 2
        CHECK "to an APIC ID", dword [seen], 1 << 2
        mov dword [seen], 0
        IPI 0b1010, 0x4800 | SEENV
        AWAIT seen, 0b1010
        CHECK "to a logical set", dword [seen], 0b1010
        mov dword [seen], 0
        mov dword [seen_count], 0
        IPI 0b1110, 0x4900 | SEENV
        AWAIT seen_count, 1
        mov ecx, 20000
.still: pause
        loop .still
        CHECK "lowest priority: one takes it", dword [seen_count], 1
        mov dword [seen], 0
        sti
        IPI 0, 0x44000 | SEENV
        AWAIT seen, 1
        cli
        CHECK "to itself", dword [seen], 1
        mov dword [seen], 0
        sti
        IPI 0, 0x84000 | SEENV
        AWAIT seen, 0b1111
        cli
        CHECK "to all", dword [seen], 0b1111
        IPI 2, 0x4400
        AWAIT nmis, 1
        CHECK "NMI to one processor", dword [nmi_id], 2
        ; ---- sleep ----
        mov dword [finished], 0
        mov dword [job], sleep
        inc dword [phase]
        AWAIT asleep, 3
        mov ecx, 20000
.naps:  pause
        loop .naps
        CHECK "halted processors stay halted", dword [finished], 0
        IPI 0, OTHERS | 0x4000 | CALLV
        AWAIT finished, 3
        CHECK "an interrupt wakes them", dword [finished], 3
        ; ---- once more ----
        IPI 3, 0x4500
        IPI 3, 0x4600 | TRAMPOLINE >> 12
        AWAIT arrived, 4
        CHECK "INIT and SIPI to one processor start it again", dword [arrived], 4
        JOB identify
        CHECK "it works as before", dword [finished], 3
        ret

; ---- jobs; EBX: APIC ID ----
identify:
        push ebx
        mov eax, 1
        cpuid
        shr ebx, 24
        mov eax, ebx
        pop ebx
        mov [cpuid_ids + ebx * 4], eax
        mov ecx, 0x1B
        rdmsr
        and eax, 0x900
        mov [base_flags + ebx * 4], eax
        ret

count_under_lock:
        mov edx, 1000
.next:  lock bts dword [spin], 0
        jnc .mine
        pause
        jmp .next
.mine:  mov eax, [counter]
        mov ecx, 5
        loop $
        inc eax
        mov [counter], eax
        mov dword [spin], 0
        dec edx
        jnz .next
        ret

count_locked:
        mov edx, 1000
.next:  lock inc dword [locked]
        mov eax, 1
        lock xadd [locked], eax
        dec edx
        jnz .next
        ret

page:   mov eax, PD
        mov cr3, eax
        mov eax, cr0
        or eax, 0x80000000
        mov cr0, eax
load:   mov eax, [VA(0)]
        mov [loaded + ebx * 4], eax
        ret

run_patched:
        push ebx
        xor eax, eax
        cpuid                   ; serialises, as a processor must before it runs what another one has written
        pop ebx
        call patched
        mov [results + ebx * 4], eax
        ret

until_patched:
        call patched
        cmp eax, 0x55555555
        jne until_patched
        ret

set_logical:
        lea ecx, [ebx + 24]
        mov eax, 1
        shl eax, cl
        mov [APIC + 0xD0], eax
        ret

sleep:  lock inc dword [asleep]
        hlt
        ret

patched:
        mov eax, 0x33333333
        ret

; ---- handlers ----
on_call:
        push eax
        invlpg [VA(0)]
        lock inc dword [called]
        mov dword [APIC + 0xB0], 0
        pop eax
        iretd
on_seen:
        push eax
        mov eax, [APIC + 0x20]
        shr eax, 24
        lock bts [seen], eax
        lock inc dword [seen_count]
        mov dword [APIC + 0xB0], 0
        pop eax
        iretd
on_nmi:
        push eax
        mov eax, [APIC + 0x20]
        shr eax, 24
        mov [nmi_id], eax
        inc dword [nmis]
        pop eax
        iretd

; ---- application processors ----
bits 16
trampoline:
        cli
        mov ax, IMGSEG
        mov ds, ax
        o32 lgdt [gdtr - ORG_]
        o32 lidt [idtr - ORG_]
        mov eax, cr0
        and eax, 0x9FFFFFFF
        or al, 1
        mov cr0, eax
        jmp dword KCODE:application
trampoline_end:
bits 32
application:
        mov ax, KDATA
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov ebx, [APIC + 0x20]
        shr ebx, 24
        mov esp, ebx
        shl esp, 12
        add esp, APSTACKS + 0x1000
        mov dword [APIC + 0xF0], 0x1FF
        mov ebp, [phase]
        lock inc dword [arrived]
        sti
.idle:  pause
        cmp ebp, [phase]
        je .idle
        inc ebp
        call [job]
        lock inc dword [finished]
        jmp .idle

section .data
align 4
arrived:    dd 0
phase:      dd 0
job:        dd 0
finished:   dd 0
spin:       dd 0
counter:    dd 0
locked:     dd 0
called:     dd 0
seen:       dd 0
seen_count: dd 0
nmis:       dd 0
nmi_id:     dd 0
asleep:     dd 0
cpuid_ids:  times 4 dd 0
base_flags: times 4 dd 0
loaded:     times 4 dd 0
results:    times 4 dd 0
