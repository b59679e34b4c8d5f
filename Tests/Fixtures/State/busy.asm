; nasm -f bin -o busy.bin busy.asm && truncate -s 1M disk.img
; vitrine run --bios busy.bin --disk disk.img --disposable --headless --clock virtual --max-instructions 5000000 --stats -
;
; A program as DOS had them, in the place of the BIOS: real mode, timer and disk interrupts, sectors read and written by port, memory moved
; about. A second processor, where there is one, counts beside it.
        bits 16
        cpu x64
        org 0

%macro put 2                            ; port, value
        mov dx, %1
        mov al, %2
        out dx, al
%endmacro

start:
        cli
        cld
        xor ax, ax
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov sp, 0x7000
        mov word [0x08 * 4], timer
        mov word [0x08 * 4 + 2], 0xF000
        mov word [0x76 * 4], disk
        mov word [0x76 * 4 + 2], 0xF000
        put 0x20, 0x11
        put 0x21, 0x08
        put 0x21, 0x04
        put 0x21, 0x01
        put 0x21, 0xFA                  ; IRQ 0 and the cascade
        put 0xA0, 0x11
        put 0xA1, 0x70
        put 0xA1, 0x02
        put 0xA1, 0x01
        put 0xA1, 0xBF                  ; IRQ 14
        put 0x43, 0x34
        put 0x40, 0x88
        put 0x40, 0x01                  ; 3 kHz
        ; The local APIC comes within reach of real mode.
        mov ecx, 0x1B
        rdmsr
        and eax, 0xFFF
        or eax, 0x000D0000
        xor edx, edx
        wrmsr
        mov ax, 0xD000
        mov es, ax
        mov dword [es:0xF0], 0x1FF
        mov dword [es:0x350], 0x700     ; ExtINT
        mov dword [es:0x310], 0x01000000
        mov dword [es:0x300], 0x4500    ; INIT
        mov dword [es:0x300], 0x46F8    ; SIPI: F8000
        xor ax, ax
        mov es, ax

again:
        mov byte [0x502], 0
        call select
        put 0x1F7, 0x20
        call await
        mov dx, 0x1F0
        mov di, 0x8000
        mov cx, 256
        rep insw
        ; Something else for every sector and moment.
        mov si, 0x8000
        mov cx, 128
.mix:
        rdtsc
        rol eax, 7
        xor eax, [si]
        add eax, [0x510]
        imul eax, eax, 0x01000193
        mov [si], eax
        add si, 4
        loop .mix
        mov byte [0x502], 0
        call select
        put 0x1F7, 0x30
        mov dx, 0x1F7
.drq:
        in al, dx
        test al, 8
        jz .drq
        mov dx, 0x1F0
        mov si, 0x8000
        mov cx, 256
        rep outsw
        call await
        ; 32 KiB up and down, across pages.
        push ds
        push es
        mov ax, 0x2000
        mov ds, ax
        mov ax, 0x2801
        mov es, ax
        xor si, si
        xor di, di
        mov cx, 0x2000
        rep movsd
        pop es
        pop ds
        mov al, 0
        out 0x70, al
        in al, 0x71
        add [0x20000 >> 4], al
        inc byte [0x500]
        mov al, [0x500]
        out 0xE9, al
        jmp again

select:
        put 0x1F6, 0xE0
        put 0x1F2, 1
        put 0x1F3, [0x500]
        put 0x1F4, 0
        put 0x1F5, 0
        ret

await:
        cli
        cmp byte [0x502], 0
        jne .done
        sti
        hlt
        jmp await
.done:
        sti
        ret

timer:
        push ax
        inc dword [0x510]
        mov al, 0x20
        out 0x20, al
        pop ax
        iret

disk:
        push ax
        push dx
        mov dx, 0x1F7
        in al, dx
        mov byte [0x502], 1
        mov al, 0x20
        out 0xA0, al
        out 0x20, al
        pop dx
        pop ax
        iret

        times 0x8000 - ($ - $$) db 0xF4
second:
        xor ax, ax
        mov ds, ax
.count:
        lock inc dword [0x520]
        mov eax, [0x510]
        xor [0x524], eax
        rol dword [0x524], 3
        test byte [0x520], 0x3F
        jnz .count
        pause
        jmp .count

        times 0xFFF0 - ($ - $$) db 0xF4
        jmp 0xF000:start
        times 0x10000 - ($ - $$) db 0
