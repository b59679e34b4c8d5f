; Boot sector of a speed kernel: loads 35 sectors of a 1.44 MB floppy to 0x10000 and enters them in flat 32-bit protected mode.
; With LONG defined: in 64-bit mode, 16 MiB mapped 1:1 by 4 KiB pages.
; Drive, BIOS and emulator do not matter: only INT 13h with DMA-safe reads inside 64 KiB is used.
;   nasm -f bin [-D LONG] boot.asm -o boot.bin; cat boot.bin kernel.bin > image; truncate -s 1474560 image
bits 16
org 0x7c00
        cli
        xor ax, ax
        mov ds, ax
        mov ss, ax
        mov sp, 0x7c00
        sti
        mov [drive], dl
        mov ax, 0x1000
        mov es, ax
        xor bx, bx
        mov cx, 0x0002                  ; cylinder 0, sector 2
        mov dh, 0
        mov al, 17
        call read
        mov bx, 17 * 512
        mov cx, 0x0001                  ; cylinder 0, sector 1 …
        mov dh, 1                       ; … of the other side
        mov al, 18
        call read
        cli
        in al, 0x92
        or al, 2                        ; A20
        and al, 0xfe
        out 0x92, al
        lgdt [gdtr]
        mov eax, cr0
        or al, 1
        mov cr0, eax
        jmp 8:flat

read:   mov [count], al
        mov si, 5                       ; a drive may need a few tries to spin up
.again: mov ah, 2
        mov al, [count]
        mov dl, [drive]
        int 0x13
        jnc .done
        xor ah, ah
        mov dl, [drive]
        int 0x13
        dec si
        jnz .again
        hlt
.done:  ret

bits 32
flat:   mov ax, 16
        mov ds, ax
        mov es, ax
        mov fs, ax
        mov gs, ax
        mov ss, ax
        mov esp, 0x90000
%ifdef LONG
TABLES  equ 0xe00000                    ; PML4, PDPT, page directory, eight page tables
        cld
        mov edi, TABLES
        xor eax, eax
        mov ecx, 3 * 1024
        rep stosd
        mov dword [TABLES], TABLES + 0x1003
        mov dword [TABLES + 0x1000], TABLES + 0x2003
        mov edi, TABLES + 0x2000
        mov eax, TABLES + 0x3003
        mov ecx, 8
        call fill
        mov edi, TABLES + 0x3000
        mov eax, 3
        mov ecx, 4096
        call fill
        mov eax, TABLES
        mov cr3, eax
        mov eax, cr4
        or eax, 0x620                   ; PAE, OSFXSR, OSXMMEXCPT
        mov cr4, eax
        mov ecx, 0xc0000080             ; EFER.LME
        rdmsr
        or ah, 1
        wrmsr
        mov eax, cr0
        and eax, ~12                    ; EM, TS
        or eax, 0x80000000
        mov cr0, eax
        jmp 24:wide

fill:   mov [edi], eax
        mov dword [edi + 4], 0
        add edi, 8
        add eax, 0x1000
        loop fill
        ret

bits 64
wide:   mov esp, 0x90000 - 8
        mov eax, 0x10000
        jmp rax
%else
        mov eax, 0x10000
        jmp eax
%endif

drive:  db 0
count:  db 0
        align 8
gdt:    dq 0
        dq 0x00cf9a000000ffff           ; 8: code, base 0, 4 GiB
        dq 0x00cf92000000ffff           ; 16: data
        dq 0x00af9a000000ffff           ; 24: 64-bit code
gdtr:   dw 31
        dd gdt

        times 510 - ($ - $$) db 0
        dw 0xaa55
