import CPU
import Primitives
import Testing

@testable import Hardware

@Suite("vga · lines that scroll off") struct TextHistoryTests {
    private let rig: VGARig
    private let tap: BoardTap

    init() throws {
        rig = try VGARig()
        rig.set(.text80)
        rig.loadFont(height: 16) { _, _ in 0 }
        let memory = UnsafeMutableRawPointer.allocate(byteCount: TraceRing.bytes, alignment: 8)
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: TraceRing.bytes)
        tap = BoardTap(ring: TraceRing(memory))
        rig.wires.tap = tap
        rig.clearText()
    }

    /// What has scrolled off, when the guest sleeps.
    private func lines() -> [String] {
        rig.vga.settleText(tap, rig.memory, halted: true)
        return tap.text.take().map { String(decoding: $0.map { UInt8(truncatingIfNeeded: $0) }, as: UTF8.self) }
    }

    /// As firmware and DOS do it: every cell is copied one row up, the last row cleared.
    private func scrollByCopying(_ rows: Int = 1, size: Int = 4) {
        let base: Physical = 0xB8000
        let bytes = (25 - rows) * 160
        for at in stride(from: 0, to: bytes, by: size) {
            rig.store(base + Physical(at), rig.load(base + Physical(at + rows * 160), size: size), size: size)
        }
        for cell in 0..<rows * 80 { rig.store(base + Physical(bytes + cell * 2), 0x0720, size: 2) }
    }

    @Test("copied rows: none is lost, none comes twice", arguments: [1, 2, 4])
    func copying(size: Int) {
        for number in 0..<200 {
            scrollByCopying(size: size)
            rig.print("line \(number)", row: 24)
        }
        #expect(lines().filter { !$0.isEmpty } == (0..<175).map { "line \($0)" })
        #expect(lines().isEmpty)
    }

    @Test("rows that are all alike are counted by the way in which they are copied") func alike() {
        for row in 0..<25 { rig.print("same", row: row) }
        for _ in 0..<60 {
            scrollByCopying()
            rig.print("same", row: 24)
        }
        #expect(lines() == [String](repeating: "same", count: 60))
    }

    @Test("several rows at once") func several() {
        for row in 0..<25 { rig.print("row \(row)", row: row) }
        scrollByCopying(5)
        rig.print("next", row: 24)
        #expect(lines() == (0..<5).map { "row \($0)" })
    }

    @Test("a moved start address, its way back to the beginning of memory included", arguments: [false, true])
    func startAddress(alike: Bool) {
        var start = 0
        for number in 0..<600 {
            if start + 80 * 26 > 0x4000 {
                // As Linux does it: what is shown goes back to the beginning of the window.
                for cell in 0..<24 * 80 {
                    rig.store(0xB8000 + Physical(cell * 2), rig.load(0xB8000 + Physical((start + 80 + cell) * 2), size: 2), size: 2)
                }
                start = 0
            } else {
                start += 80
            }
            for cell in 0..<80 { rig.store(0xB8000 + Physical((start + 24 * 80 + cell) * 2), 0x0720, size: 2) }
            rig.crtc(0x0C, UInt8(start >> 8))
            rig.crtc(0x0D, UInt8(start & 0xFF))
            let text = alike ? "same" : "line \(number)"
            for (column, byte) in text.utf8.enumerated() {
                rig.store(0xB8000 + Physical((start + 24 * 80 + column) * 2), 0x0700 | UInt64(byte), size: 2)
            }
        }
        let wanted = (0..<575).map { alike ? "same" : "line \($0)" }
        #expect(lines().filter { !$0.isEmpty } == wanted)
    }

    @Test("a cleared screen, another text and a changed row are no scroll") func rewrites() {
        for row in 0..<25 { rig.print("row \(row)", row: row) }
        #expect(lines().isEmpty)
        rig.clearText()
        #expect(lines().isEmpty)
        for row in 0..<25 { rig.print("other \(row * 7 % 25)", row: row) }
        #expect(lines().isEmpty)
        rig.print("title", row: 0)
        for row in 3..<9 { rig.print("moved", row: row) }
        rig.print("title two", row: 0)
        #expect(lines().isEmpty)
    }

    @Test("a graphics mode in between loses nothing that had scrolled off, and begins anew") func graphics() {
        for row in 0..<25 { rig.print("row \(row)", row: row) }
        scrollByCopying()
        #expect(lines() == ["row 0"])
        rig.set(.vga640)
        for at in 0..<5000 { rig.store(0xA0000 + Physical(at), 0xFF) }
        rig.set(.text80)
        rig.clearText()
        for row in 0..<25 { rig.print("new \(row)", row: row) }
        scrollByCopying()
        #expect(lines() == ["new 0"])
    }

    @Test("registers and cells at random do not trap") func random() {
        var random = TestRandom(9)
        for _ in 0..<3000 {
            if Int.random(in: 0..<4, using: &random) == 0 {
                rig.crtc(UInt8.random(in: 0..<25, using: &random), UInt8.random(in: 0...255, using: &random))
            }
            let at = 0xB8000 + Physical(Int.random(in: 0..<0x7FF8, using: &random)), value = UInt64.random(in: 0...0xFFFF, using: &random)
            rig.store(at, value, size: [1, 2, 4, 8].randomElement(using: &random) ?? 1)
            _ = rig.load(0xB8000 + Physical(Int.random(in: 0..<0x7FF8, using: &random)), size: 2)
            rig.vga.settleText(tap, rig.memory, halted: Bool.random(using: &random))
        }
        _ = tap.text.take()
    }

    @Test("what a chip does is in the ring, and nothing of the chip's state depends on it") func events() throws {
        let other = try VGARig()
        other.set(.text80)
        other.loadFont(height: 16) { _, _ in 0 }
        other.clearText()
        rig.graphics(6, 0x05)
        other.graphics(6, 0x05)
        #expect(rig.vga == other.vga)
        #expect(tap.ring.events(from: 0).last?.text == "graphics=1 misc-register=0x5")
    }

    @Test("the ring keeps the last events and says how many there were") func ring() {
        for number in 0..<UInt64(TraceRing.capacity + 10) { rig.wires.trace(.io, .portRead, size: 1, place: 0x60, value: number) }
        let events = tap.ring.events(from: 0)
        #expect(events.count == TraceRing.capacity)
        #expect(events.last?.value == UInt64(TraceRing.capacity + 9))
        #expect(tap.ring.events(from: tap.ring.count).isEmpty)
        tap.isFollowed = true
        #expect(tap.isFull)
    }
}
