; nasm -f bin -o counter.img counter.asm && truncate -s 1440K counter.img
; vitrine run --floppy counter.img --disposable --headless --clock virtual --record --gdb 1234
;
; A boot sector that counts in memory, for debuggers: each round calls a function that writes the count to 0000:0600, and then a letter to the
; screen.
        bits 16
        cpu 8086
        org 0x7C00

start:
        cli
        xor ax, ax
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov sp, 0x7C00
        sti
        mov word [0x600], 0
        mov cx, 10
round:
        call count
        mov ax, 0x0E41
        xor bx, bx
        int 0x10
        loop round
done:
        hlt
        jmp done

count:
        inc word [0x600]
        ret

        times 510 - ($ - $$) db 0
        dw 0xAA55
