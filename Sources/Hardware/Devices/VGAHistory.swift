import CPU
import Primitives

/// IBM VGA, what scrolls off its text screen: tells `TextHistory` of the accesses that can be a scroll.
///
/// Source: IBM *PS/2 Hardware Interface Technical Reference*, "Video Subsystem": CRT controller start address.
///
/// Not implemented: text at B0000; screens split by the line compare register.
extension VGA {
    /// Cells of the 32 KiB window.
    private static let windowCells = 0x4000

    /// An access to the window is about to be carried out.
    @inline(__always)
    func noteText(_ address: Physical, size: Int, writes: Bool, _ wires: Wires) {
        guard let tap = wires.tap, graphics[6] & 1 == 0, address >= 0xB8000, address < 0xC0000 else { return }
        let cell = Int(address &- 0xB8000) >> 1
        guard writes else {
            tap.text.lastRead = cell
            return
        }
        let from = tap.text.lastRead
        tap.text.lastRead = nil
        let columns = Int(crtc[1]) + 1
        let start = Int(crtc[0x0C]) << 8 | Int(crtc[0x0D])
        if (cell &- start) & (VGA.windowCells - 1) < columns, tap.text.written >= 2 * columns {
            let pitch = Int(crtc[0x13]) * 2
            let distance = from.map { $0 - cell } ?? 0
            tap.text.look(textScreen(wires.memory), copying: pitch > 0 && distance > 0 && distance % pitch == 0 ? distance / pitch : nil)
        }
        tap.text.written &+= size
    }

    /// The start address is about to change.
    func noteStart(_ wires: Wires) {
        guard let tap = wires.tap, graphics[6] & 1 == 0, tap.text.written >= Int(crtc[1]) + 1 else { return }
        tap.text.look(textScreen(wires.memory), copying: nil)
    }

    func traceDispi(_ wires: Wires) {
        wires.trace(.vga, .dispiEnable, place: UInt32(dispi[1]) << 16 | UInt32(dispi[2]), value: UInt64(dispi[4]))
    }

    /// Between two slices: takes what is on the screen when it has come to rest.
    func settleText(_ tap: BoardTap, _ memory: GuestMemory, halted: Bool) {
        if tap.text.wantsSettling || halted && tap.text.written > 0 { tap.text.look(textScreen(memory), copying: nil) } else { tap.text.markForSettling() }
    }

    /// The cells alone; nil in graphics modes and while nothing is displayed.
    private func textScreen(_ memory: GuestMemory) -> TextHistory.Screen? {
        guard !isBlank, !isGraphics, vramBytes >= 1 << 18, let block = memory.block(offset: vramOffset, bytes: vramBytes) else { return nil }
        let picture = picture
        let rowLines = picture.cellHeight * (picture.doubleScan ? 2 : 1)
        var screen = TextHistory.Screen()
        screen.columns = picture.columns
        screen.rows = min(max(min(picture.lines, picture.lineCompare + 1) / rowLines, 1), 128)
        (screen.start, screen.pitch) = (picture.start, picture.pitch)
        memory.withBytes(of: block) { vram in
            screen.cells = [UInt16](unsafeUninitializedCapacity: screen.columns * screen.rows) { cells, count in
                for row in 0..<screen.rows {
                    for column in 0..<screen.columns {
                        let at = planeAddress(picture.start + row * picture.pitch + column) * 4
                        cells[row * screen.columns + column] = UInt16(vram[at]) | UInt16(vram[at + 1]) << 8
                    }
                }
                count = screen.columns * screen.rows
            }
        }
        return screen
    }
}
