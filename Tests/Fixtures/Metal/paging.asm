; Paging: error codes and CR2, user and supervisor, write protection, accessed and dirty bits, 4 MiB pages, global pages, reserved
; bits, system accesses, PAE.
%include "metal.inc"

; PF name, error, CR2, {instruction}: two checks
%macro PFAULT 4+
        FAULT {%1}, PF_, %2, %4
        CHECK {%1, ": CR2"}, dword [exc_cr2], %3
%endmacro
%macro PFAULT3 4+
        FAULT3 {%1}, PF_, %2, %4
        CHECK {%1, ": CR2"}, dword [exc_cr2], %3
%endmacro
%define LAST(n) (VA(n) + 0xFFF)

main:
        PAGING_ON
        mov eax, 0x12345678
        mov [VA(0)], eax
        mov ebx, [PH(0)]
        CHECK "a page translates", ebx, 0x12345678
        mov ebx, [VA(0)]
        CHECK "and reads back", ebx, 0x12345678

        ; error codes
        PAGE 1, 0
        PFAULT "supervisor read, absent", 0, VA(1), mov eax, [VA(1)]
        PFAULT "supervisor write, absent", 2, VA(1) + 0x123, mov [VA(1) + 0x123], al
        PFAULT "supervisor read-modify-write, absent", 2, VA(1) + 4, inc dword [VA(1) + 4]
        PFAULT3 "user read, absent", 4, VA(1) + 8, mov eax, [VA(1) + 8]
        PFAULT3 "user write, absent", 6, VA(1) + 9, mov [VA(1) + 9], eax
        PFAULT3 "user read-modify-write, absent", 6, VA(1) + 4, add dword [VA(1) + 4], 1
        PAGE 1, 6
        PFAULT3 "absent page with other bits set", 4, VA(1), mov eax, [VA(1)]
        PAGE 1, 3
        PFAULT3 "user read of a supervisor page", 5, VA(1), mov eax, [VA(1)]
        PFAULT3 "user write of a supervisor page", 7, VA(1), mov [VA(1)], eax
        OK "supervisor write of a supervisor page", mov [VA(1)], eax
        PAGE 1, 5
        OK3 "user read of a read-only page", mov ebx, [VA(1)]
        PFAULT3 "user write of a read-only page", 7, VA(1), mov [VA(1)], eax
        PFAULT3 "user CMPXCHG of a read-only page", 7, VA(1), cmpxchg [VA(1)], ecx
        PFAULT3 "user XCHG of a read-only page", 7, VA(1), xchg [VA(1)], ecx
        OK3 "user CMP of a read-only page", cmp [VA(1)], ecx
        OK3 "user TEST of a read-only page", test [VA(1)], ecx
        OK "supervisor write of a read-only page without WP", mov [VA(1)], eax
        SETCR0 0, CR0_WP
        PFAULT "supervisor write of a read-only user page with WP", 3, VA(1), mov [VA(1)], eax
        OK "supervisor read of it", mov ebx, [VA(1)]
        PAGE 1, 1
        PFAULT "supervisor write of a read-only supervisor page with WP", 3, VA(1), mov [VA(1)], eax
        SETCR0 CR0_WP, 0
        OK "without WP again", mov [VA(1)], eax
        PAGE 1, 7

        ; both levels combine
        mov dword [PD + 4], 0x82000 | 7
        mov dword [0x82000], PH(2) | 7
        OK3 "user write through a second table", mov [0x400000], eax
%macro LEVELS 5                 ; PDE flags, PTE flags, text, read, write
        mov dword [PD + 4], 0x82000 | %1
        mov dword [0x82000], PH(2) | %2
        mov ebx, cr3
        mov cr3, ebx
%if %4
        FAULT3 {"user read, ", %3}, PF_, %4, mov ebx, [0x400000]
%else
        OK3 {"user read, ", %3}, mov ebx, [0x400000]
%endif
%if %5
        FAULT3 {"user write, ", %3}, PF_, %5, mov [0x400000], ebx
%else
        OK3 {"user write, ", %3}, mov [0x400000], ebx
%endif
%endmacro
        LEVELS 7, 7, "PDE user writable, PTE user writable", 0, 0
        LEVELS 5, 7, "PDE user read-only, PTE user writable", 0, 7
        LEVELS 7, 5, "PDE user writable, PTE user read-only", 0, 7
        LEVELS 3, 7, "PDE supervisor, PTE user", 5, 7
        LEVELS 7, 3, "PDE user, PTE supervisor", 5, 7
        LEVELS 6, 7, "PDE absent", 4, 6
        LEVELS 7, 6, "PTE absent", 4, 6
        SETCR0 0, CR0_WP
        mov dword [PD + 4], 0x82000 | 5
        mov dword [0x82000], PH(2) | 7
        mov ebx, cr3
        mov cr3, ebx
        PFAULT "supervisor write, PDE read-only, with WP", 3, 0x400000, mov [0x400000], ebx
        SETCR0 CR0_WP, 0

        ; accessed and dirty
        mov dword [PD + 4], 0x82000 | 7
        mov dword [0x82000], PH(2) | 7
        mov ebx, cr3
        mov cr3, ebx
        mov al, [0x400000]
        CHECKMASK "a read sets A", dword [0x82000], 0x60, 0x20
        CHECKMASK "a read sets A of the PDE", dword [PD + 4], 0x20, 0x20
        mov [0x400000], al
        CHECKMASK "a write sets D", dword [0x82000], 0x60, 0x60
        CHECKMASK "a write leaves bit 6 of the PDE", dword [PD + 4], 0x40, 0
        mov dword [0x82000], PH(2) | 7
        invlpg [0x400000]
        mov [0x400000], al
        CHECKMASK "a first write sets A and D", dword [0x82000], 0x60, 0x60
        mov dword [0x82000], PH(2) | 3
        invlpg [0x400000]
        FAULT3 "refused user write", PF_, 7, mov [0x400000], ebx
        CHECKMASK "a refused write sets no D", dword [0x82000], 0x40, 0
        mov dword [0x82000], PH(2) | 5
        invlpg [0x400000]
        mov [0x400000], al
        CHECKMASK "a supervisor write of a read-only page sets D", dword [0x82000], 0x60, 0x60
        mov dword [0x82000], PH(2) | 7
        invlpg [0x400000]
        mov edi, 0x400000
        mov ecx, 4
        rep stosb
        CHECKMASK "REP STOSB sets D", dword [0x82000], 0x60, 0x60

        ; accesses across pages
        PAGE 3, 7
        PAGE 4, 0
        PFAULT "dword across into an absent page", 0, VA(4), mov eax, [LAST(3) - 1]
        PFAULT "dword write across into an absent page", 2, VA(4), mov [LAST(3) - 1], eax
        mov dword [PH(3) + 0xFFC], 0
        mov eax, 0x55667788
        FAULT "dword write across writes nothing", PF_, 2, mov [LAST(3)], eax
        CHECK "memory before the page end is untouched", dword [PH(3) + 0xFFC], 0
        PFAULT "word across into an absent page", 0, VA(4), mov ax, [LAST(3)]
        PFAULT "qword across into an absent page", 0, VA(4), fld qword [LAST(3) - 3]
        PFAULT "dword across out of an absent page", 0, VA(4) + 0xFFE, mov eax, [VA(4) + 0xFFE]
        PAGE 4, 5
        PFAULT3 "dword write across into a read-only page", 7, VA(4), mov [LAST(3) - 1], eax
        CHECK "which writes nothing", dword [PH(3) + 0xFFC], 0
        PAGE 4, 7
        mov eax, 0x55667788
        mov [LAST(3) - 1], eax
        mov ebx, [PH(3) + 0xFFC]
        CHECK "dword write across two present pages: lower half", ebx, 0x77880000
        ; to another physical page
        mov dword [PTE(4)], PH(9) | 7
        invlpg [VA(4)]
        mov dword [PH(9)], 0
        mov [LAST(3) - 1], eax
        CHECK "upper half in a page elsewhere", dword [PH(9)], 0x5566
        mov ebx, [LAST(3) - 1]
        CHECK "dword read across two pages elsewhere", ebx, eax
        PAGE 4, 7

        ; the TLB
        mov dword [PH(5)], 0x55555555
        mov dword [PH(6)], 0x66666666
        mov eax, [VA(5)]
        mov dword [PTE(5)], PH(6) | 7
        invlpg [VA(5)]
        mov eax, [VA(5)]
        CHECK "INVLPG shows a changed entry", eax, 0x66666666
        mov dword [PTE(5)], PH(5) | 7
        mov eax, cr3
        mov cr3, eax
        mov eax, [VA(5)]
        CHECK "loading CR3 shows a changed entry", eax, 0x55555555
        mov dword [PTE(5)], PH(6) | 7
        SETCR0 0x80000000, 0
        SETCR0 0, 0x80000000
        mov eax, [VA(5)]
        CHECK "paging off and on shows a changed entry", eax, 0x66666666
        mov dword [PTE(5)], PH(5) | 7
        mov eax, VA(5)
        invlpg [eax]
        SETCR4 0, CR4_PGE
        PAGE 5, 0x107
        mov eax, [VA(5)]
        mov dword [PTE(5)], PH(6) | 0x107
        SETCR4 CR4_PGE, 0
        mov eax, [VA(5)]
        CHECK "clearing PGE drops global entries", eax, 0x66666666
        SETCR4 0, CR4_PGE
        mov eax, [VA(5)]
        mov dword [PTE(5)], PH(5) | 0x107
        invlpg [VA(5)]
        mov eax, [VA(5)]
        CHECK "INVLPG drops a global entry", eax, 0x55555555
        SETCR4 CR4_PGE, 0
        PAGE 5, 7
        ; an absent entry needs no invalidation to become present
        PAGE 7, 0
        FAULT "absent before", PF_, 0, mov al, [VA(7)]
        mov dword [PTE(7)], PH(7) | 7
        OK "present without INVLPG", mov al, [VA(7)]
        FAULT "INVLPG of a register is undefined", UD, NONE, db 0x0F, 0x01, 0xF8
        OK "INVLPG of an unmapped page", invlpg [0xC0000000]

        ; 4 MiB pages
        mov eax, 0x00400000
        mov dword [PD + 8], 0x00400000 | 0x87
        mov dword [PD + 12], 0x00400000 | 0x87
        SETCR4 0, CR4_PSE
        mov dword [0x800000 + 0x123450], 0xCAFE0001
        mov eax, [0xC00000 + 0x123450]
        CHECK "a 4 MiB page translates", eax, 0xCAFE0001
        CHECKMASK "a write sets A and D of the 4 MiB entry", dword [PD + 8], 0x60, 0x60
        CHECKMASK "a read sets A of the 4 MiB entry", dword [PD + 12], 0x60, 0x20
        mov dword [PD + 12], 0x00400000 | 0x83
        invlpg [0xC00000]
        FAULT3 "user read of a supervisor 4 MiB page", PF_, 5, mov eax, [0xC00000]
        mov dword [PD + 12], 0x00400000 | 0x85
        invlpg [0xC00000]
        FAULT3 "user write of a read-only 4 MiB page", PF_, 7, mov [0xC00000], eax
        mov dword [PD + 12], 0x00800000 | 0x87
        invlpg [0xFFF000]
        mov dword [0xC00000 + 0x123450], 0xCAFE0002
        mov eax, [0x800000 + 0x123450]
        CHECK "INVLPG anywhere in a 4 MiB page drops it", eax, 0xCAFE0001
        mov dword [PD + 12], 0x00800000 | 0x87 | 0x200000
        invlpg [0xC00000]
        FAULT "reserved bit 21 of a 4 MiB entry", PF_, 9, mov eax, [0xC00000]
        FAULT3 "reserved bit, user write", PF_, 15, mov [0xC00000], eax
        ; without CR4.PSE bit 7 means nothing
        mov dword [PD + 12], PT | 0x87
        SETCR4 CR4_PSE, 0
        mov dword [PH(0) + 8], 0xABCD1234
        mov eax, [0xC00000 + 0x200008]
        CHECK "without PSE the entry names a table", eax, 0xABCD1234
        mov dword [PD + 12], 0
        mov eax, cr3
        mov cr3, eax

        ; system accesses are a supervisor's
        DESC T0, VA(8), 0xFF, 0x82, 0
        mov eax, T0
        PAGE 8, 3
        mov dword [VA(8) + 8], 0x0000FFFF
        mov dword [VA(8) + 12], 0x00CFF300
        lldt ax
        mov eax, 8 + 4 + 3
        OK3 "user load of a segment whose table is a supervisor page", mov es, ax
        PAGE 8, 0
        PFAULT3 "user load of a segment whose table is absent", 0, VA(8) + 8, mov es, ax
        PAGE 8, 1
        mov byte [PH(8) + 13], 0xF2
        SETCR0 0, CR0_WP
        FAULT3 "the accessed bit cannot be set in a read-only page with WP", PF_, 3, mov es, ax
        SETCR0 CR0_WP, 0
        OK3 "and can be without WP", mov es, ax
        movzx ebx, byte [PH(8) + 13]
        CHECK "it is set", ebx, 0xF3
        mov ax, UDATA
        mov es, ax
        mov ax, LDT
        lldt ax
        ; inner stack on an absent page
        DESC T1, 0, 0xFFFFF, A_CODE + D1, 0xC
        DESC T2, 0, 0xFFFFF, A_DATA + D1, 0xC
        GATE T3, T1, .never, 0, 0xEC
        PAGE 10, 0
        mov dword [tss + 12], VA(11)
        mov word [tss + 16], T2 + 1
        FAULT3 "call gate to a stack on an absent page", PF_, 2, call T3:0
.never: PAGE 10, 7
        IDTGATE 0x60, T1, .never, 0xEE
        PAGE 10, 0
        FAULT3 "interrupt gate to a stack on an absent page", PF_, 2, int 0x60
        PAGE 10, 5
        SETCR0 0, CR0_WP
        FAULT3 "interrupt gate to a stack on a read-only page", PF_, 3, int 0x60
        SETCR0 CR0_WP, 0
        mov dword [tss + 12], VA(11) + 8
        PAGE 10, 0
        FAULT3 "call gate to a stack half on an absent page", PF_, 2, call T3:0
        PAGE 10, 7
        ; a task on absent pages: nothing is switched
        DESC T6, VA(10) + 0x800, 0x67, 0x89, 0
        PAGE 10, 0
        PFAULT "JMP to a TSS on an absent page", 0, VA(10) + 0x800, jmp T6:0
        movzx eax, byte [gdt + T6 + 5]
        CHECK "it is still available", eax, 0x89
        movzx eax, byte [gdt + TSS + 5]
        CHECK "and the old one busy", eax, 0x8B
        PAGE 10, 7
        PAGE 11, 0
        DESC T6, VA(11) - 0x40, 0x67, 0x89, 0
        FAULT "JMP to a TSS half on an absent page", PF_, 0, jmp T6:0
        FAULT "CALL to a TSS half on an absent page", PF_, 0, call T6:0
        movzx eax, byte [gdt + T6 + 5]
        CHECK "it is available still", eax, 0x89
        PAGE 11, 7
        IDTBACK 0x60
        ; user code on pages
        PAGE 12, 7
        mov dword [VA(12)], 0x40CD          ; int 0x40
        TRY
        push dword UDATA
        push dword USTACK
        push dword 2
        push dword UCODE
        push dword VA(12)
        iretd
        ENDTRY
        GOT "user code runs on a user page", DONE, NONE
        PAGE 12, 3
        TRY
        push dword UDATA
        push dword USTACK
        push dword 2
        push dword UCODE
        push dword VA(12)
        iretd
        ENDTRY
        GOT "user fetch from a supervisor page", PF_, 5
        CHECK "its CR2", dword [exc_cr2], VA(12)
        CHECK "its EIP", dword [exc_eip], VA(12)
        PAGE 12, 0
        TRY
        push dword UDATA
        push dword USTACK
        push dword 2
        push dword UCODE
        push dword VA(12)
        iretd
        ENDTRY
        GOT "user fetch from an absent page", PF_, 4
        TRY
        mov eax, VA(12) + 5
        call eax
        ENDTRY
        GOT "supervisor fetch from an absent page", PF_, 0
        CHECK "supervisor fetch: CR2", dword [exc_cr2], VA(12) + 5
        CHECK "supervisor fetch: the CALL has happened", dword [exc_eip], VA(12) + 5

        ; #PF from a linear address that segmentation made
        DESC T5, VA(12), 0xFFF, A_DATA, 4
        mov eax, T5
        mov es, ax
        PFAULT "CR2 holds the linear address", 0, VA(12) + 0x44, mov al, [es:0x44]
        FAULT "the limit is checked before the page", GP, 0, mov al, [es:0x1000]
        mov ax, UDATA
        mov es, ax
        mov eax, 0xDEADBEEF
        mov cr2, eax
        mov eax, cr2
        CHECK "CR2 is writable", eax, 0xDEADBEEF

        ; control registers
        mov eax, 0x80000000
        FAULT "PG without PE", GP, 0, mov cr0, eax
        mov eax, cr0
        or eax, 0x20000000
        and eax, ~0x40000000
        FAULT "NW without CD", GP, 0, mov cr0, eax
        mov eax, cr4
        or eax, 0x80000000
        FAULT "reserved bit of CR4", GP, 0, mov cr4, eax
        FAULT "MOV from CR1", UD, NONE, db 0x0F, 0x20, 0xC8
        FAULT "MOV to CR5", UD, NONE, db 0x0F, 0x22, 0xE8

        ; ---- PAE ----
PDPT    equ 0x84000
PDP     equ 0x85000
PTP     equ 0x86000
        SETCR0 0x80000000, 0
        mov edi, PDPT
        xor eax, eax
        mov ecx, 0x3000 / 4
        rep stosd
        mov dword [PDPT], PDP | 1
        mov dword [PDPT + 8], PDP | 1       ; second GiB: the same tables
        mov dword [PDP], 0x00000000 | 0xE7  ; 2 MiB page
        mov dword [PDP + 8], PTP | 7
        mov edi, PTP
        mov eax, PH(0) | 7
        mov ecx, 32
.entry: mov [edi], eax
        add edi, 8
        add eax, 0x1000
        loop .entry
        SETCR4 0, CR4_PAE
        mov eax, PDPT
        mov cr3, eax
        SETCR0 0, 0x80000000
        mov dword [VA(0)], 0x1111AAAA
        mov eax, [PH(0)]
        CHECK "PAE: 4 KiB page", eax, 0x1111AAAA
        mov eax, [0x40000000 + PH(0)]
        CHECK "PAE: 2 MiB page in the second GiB", eax, 0x1111AAAA
        CHECKMASK "PAE: D of the 4 KiB entry", dword [PTP], 0x60, 0x60
        FAULT "PAE: absent third GiB", PF_, 0, mov eax, [0x80000000]
        CHECK "PAE: CR2", dword [exc_cr2], 0x80000000
        mov dword [PTP + 8], PH(1) | 5
        invlpg [VA(1)]
        FAULT3 "PAE: user write of a read-only page", PF_, 7, mov [VA(1)], eax
        mov dword [PTP + 8], PH(1) | 3
        invlpg [VA(1)]
        FAULT3 "PAE: user read of a supervisor page", PF_, 5, mov eax, [VA(1)]
        mov dword [PTP + 8], PH(1) | 7
        mov dword [PTP + 12], 0x80000000
        invlpg [VA(1)]
        FAULT "PAE: bit 63 of an entry without NXE is reserved", PF_, 9, mov eax, [VA(1)]
        mov dword [PTP + 12], 0x00100000
        invlpg [VA(1)]
        FAULT "PAE: address bit 52 of an entry is reserved", PF_, 9, mov eax, [VA(1)]
        mov dword [PTP + 12], 0
        invlpg [VA(1)]
        ; 2 MiB entries
        mov dword [PDP + 16], 0x00400000 | 0x87
        mov dword [0x400000 + 0x54320], 0x2222BBBB
        CHECKMASK "PAE: A and D of the 2 MiB entry", dword [PDP + 16], 0x60, 0x60
        mov dword [PDP + 24], 0x00400000 | 0x87
        mov eax, [0x600000 + 0x54320]
        CHECK "PAE: two 2 MiB pages of one address", eax, 0x2222BBBB
        mov dword [PDP + 24], 0x00400000 | 0x87 | 0x2000
        invlpg [0x600000]
        FAULT "PAE: reserved bit 13 of a 2 MiB entry", PF_, 9, mov eax, [0x600000]
        mov dword [PDP + 24], 0
        invlpg [0x600000]
        FAULT "PAE: absent directory entry", PF_, 2, mov [0x600000], eax
        ; 36 bits
        mov dword [PH(2)], 0x3333CCCC
        mov dword [PTP + 24], PH(2) | 7
        mov dword [PTP + 28], 1
        invlpg [VA(3)]
        mov eax, [VA(3)]
        cmp eax, 0x3333CCCC
        sete al
        movzx eax, al
        CHECK "PAE: address bit 32 counts", eax, 0
        mov dword [PTP + 28], 0
        invlpg [VA(3)]
        ; the four pointers are read with CR3 only
        mov dword [PDPT + 16], PDP | 1
        FAULT "PAE: a changed pointer is not seen", PF_, 0, mov eax, [0x80000000 + PH(0)]
        mov eax, cr3
        mov cr3, eax
        mov eax, [0x80000000 + PH(0)]
        CHECK "PAE: and is seen after loading CR3", eax, 0x1111AAAA
        mov dword [PDPT + 24], PDP | 1 | 2
        mov eax, PDPT
        FAULT "PAE: reserved bit of a pointer", GP, 0, mov cr3, eax
        mov dword [PDPT + 24], 0
        mov dword [PDPT + 28], 0x80000000
        OK "PAE: reserved bits of an absent pointer", mov cr3, eax
        mov dword [PDPT + 28], 0
        ; dword across pages, and the end
        mov dword [PTP + 40], 0
        invlpg [VA(5)]
        PFAULT "PAE: dword across into an absent page", 0, VA(5), mov eax, [LAST(4) - 1]
        SETCR0 0x80000000, 0
        SETCR4 CR4_PAE, 0
        ret
