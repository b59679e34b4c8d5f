import Primitives

/// An option ROM of ours whose only job is to hand the boot to the host side: when SeaBIOS calls its bootstrap entry vector it
/// writes to the hook port, and the runner loads the kernel that the settings name.
///
/// Source: Compaq, Phoenix, Intel *Plug and Play BIOS Specification*, version 1.0A, section 3.2 "Expansion header for Plug and Play";
/// *BIOS Boot Specification*, version 1.01, section 3.3.
public enum BootROM {
    /// fw_cfg file that SeaBIOS deploys, and the line of its `bootorder` file.
    public static let fileName = "genroms/vitrine-boot.bin"
    public static let bootOrderLine = "/rom@genroms/vitrine-boot.bin"

    /// 512 bytes.
    public static let image: [UInt8] = {
        var rom = [UInt8](repeating: 0, count: 512)
        func put(_ offset: Int, _ bytes: [UInt8]) { for (i, byte) in bytes.enumerated() { rom[offset + i] = byte } }
        put(0x00, [0x55, 0xAA, 0x01])  // signature, one block of 512 bytes
        // Initialisation: AX bit 5, "IPL device present", and return far.
        put(0x03, [0xB8, 0x20, 0x00, 0xCB])  // mov ax,20h; retf
        put(0x1A, [0x20, 0x00])  // expansion header
        put(0x20, Array("$PnP".utf8))
        put(0x24, [0x01, 0x02])  // revision, length in 16-byte units
        put(0x2A, [0x00, 0x00, 0x00, 0x00])  // device identifier
        put(0x30, [0x80, 0x00])  // product name
        put(0x32, [0x00, 0x80, 0x01])  // class: mass storage, other
        put(0x35, [0x14])  // may be shadowed, IPL device
        put(0x3A, [0x60, 0x00])  // bootstrap entry vector
        let port = BootHook.port
        put(0x60, [0xBA, UInt8(port & 0xFF), UInt8(port >> 8), 0xB0, 0x01, 0xEE])  // mov dx,port; mov al,1; out dx,al
        put(0x66, [0xFA, 0xF4, 0xEB, 0xFC])  // cli; hlt; jmp to cli: the runner has taken over
        put(0x80, Array("Vitrine kernel\0".utf8))
        rom[0x29] = 0 &- rom[0x20..<0x40].reduce(0, &+)
        rom[0x1FF] = 0 &- rom.reduce(0, &+)
        return rom
    }()
}
