import CPU
import Primitives

extension PC {
    /// Composes the physical map. Later windows lie over earlier ones, so what is looked up most comes last.
    ///
    ///     00000000  RAM, up to E0000000; the rest of it from 100000000 on
    ///     000A0000  VGA window, 128 KiB (SMRAM when opened)
    ///     000C0000  PAM segments: RAM, ROM (the BIOS's last 128 KiB from E0000) or nothing
    ///     E0000000  PCI: frame buffer and expansion ROM where the guest put them
    ///     FEE00000  local APIC (wherever IA32_APIC_BASE says)
    ///               BIOS ROM up to 4 GiB
    func mapMemory() {
        var map: [GuestMemory.Window] = []
        let video = chip(place.vga, VGA.self) { ($0.framebufferBase, $0.romBase) }
        if let base = video.0 {
            map.append(.init(base: base, bytes: UInt64(vramBlock.bytes), read: vramBlock.offset, write: vramBlock.offset))
        }
        if let base = video.1, let rom = vgaROMBlock {
            map.append(.init(base: base, bytes: UInt64(rom.bytes), read: rom.offset, write: nil, dropWrites: true))
        }
        map.append(
            .init(
                base: PhysicalLayout.fourGiB - UInt64(biosBlock.bytes), bytes: UInt64(biosBlock.bytes), read: biosBlock.offset, write: nil,
                dropWrites: true))

        let low = UInt64(PhysicalLayout.lowRAMBytes(settings.ramMiB))
        map.append(.init(base: 0, bytes: min(low, 0x10_0000), read: 0, write: 0))
        let bridge = chip(place.hostBridge, HostBridge.self) { ($0.segments, $0.smramOpen) }
        if !bridge.1 { map.append(.init(base: 0xA_0000, bytes: 0x2_0000, read: nil, write: nil)) }
        for segment in bridge.0 {
            for window in windows(of: segment) { appendMerging(window, to: &map) }
        }

        let high = UInt64(PhysicalLayout.highRAMBytes(settings.ramMiB))
        if high > 0 { map.append(.init(base: PhysicalLayout.fourGiB, bytes: high, read: Int(low), write: Int(low))) }
        if low > 0x10_0000 { map.append(.init(base: 0x10_0000, bytes: low - 0x10_0000, read: 0x10_0000, write: 0x10_0000)) }
        // Registers lie over RAM that the guest put under them.
        for position in place.lapics {
            guard let local = chip(position, LAPIC.self, { $0.windows.first }), local.lowerBound < low else { continue }
            map.append(.init(base: local.lowerBound, bytes: 0x1000, read: nil, write: nil))
        }
        memory.setMap(map)
    }

    /// A PAM segment as windows: in two parts where the shadowed ROM starts within it.
    private func windows(of segment: HostBridge.Segment) -> [GuestMemory.Window] {
        let ram = Int(segment.base)
        let romBytes = UInt64(min(biosBlock.bytes, 128 << 10))
        let romStart = 0x10_0000 - romBytes
        var rom: Int?
        if segment.base >= romStart { rom = biosBlock.offset + biosBlock.bytes - Int(0x10_0000 - segment.base) }
        return [
            .init(
                base: segment.base, bytes: segment.bytes, read: segment.readsRAM ? ram : rom, write: segment.writesRAM ? ram : nil,
                dropWrites: !segment.writesRAM)
        ]
    }

    private func appendMerging(_ window: GuestMemory.Window, to map: inout [GuestMemory.Window]) {
        if let last = map.last, last.base >= 0xC_0000, last.base + last.bytes == window.base, last.dropWrites == window.dropWrites,
            PC.continues(last.read, window.read, last.bytes), PC.continues(last.write, window.write, last.bytes)
        {
            map[map.count - 1].bytes += window.bytes
        } else {
            map.append(window)
        }
    }

    private static func continues(_ first: Int?, _ second: Int?, _ bytes: UInt64) -> Bool {
        switch (first, second) {
        case (nil, nil): true
        case (let a?, let b?): a + Int(bytes) == b
        default: false
        }
    }
}
