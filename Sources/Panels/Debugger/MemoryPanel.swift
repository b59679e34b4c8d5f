import Machine
import Terminal

/// Bytes of memory, 16 a line or 8 where there is little room; what has changed since the last stop is marked.
struct MemoryPanel {
    let memory: DebugMemory
    let before: DebugMemory?
    /// The byte that the keyboard is at.
    let cursor: UInt64?

    static func bytesInLine(_ width: Int) -> Int { width >= 76 ? 16 : 8 }

    private func isThere(_ n: Int) -> Bool { !memory.missing.contains { $0.contains(n) } }

    private func changed(_ n: Int) -> Bool {
        guard let before, before.isPhysical == memory.isPhysical else { return false }
        let address = memory.address &+ UInt64(n)
        guard address >= before.address, address - before.address < UInt64(before.bytes.count) else { return false }
        return before.bytes[Int(address - before.address)] != memory.bytes[n]
    }

    func lines(width: Int) -> [DebugLine] {
        let count = MemoryPanel.bytesInLine(width)
        return stride(from: 0, to: memory.bytes.count, by: count).map { start in
            var line = DebugLine([])
            line.add((memory.isPhysical ? "P" : "") + DebugText.address(memory.address &+ UInt64(start)) + " ", .listKey)
            var characters = DebugLine([])
            for n in start..<min(start + count, memory.bytes.count) {
                let address = memory.address &+ UInt64(n), byte = memory.bytes[n], there = isThere(n)
                let role: Role = address == cursor ? .listSelected : changed(n) ? .debugChanged : .list
                line.add(there ? DebugText.hex(UInt64(byte), 2) : "??", role)
                line.add(n % 8 == 7 && n + 1 < start + count ? "  " : " ")
                characters.add(there && (0x20..<0x7F).contains(byte) ? String(UnicodeScalar(byte)) : "·", role)
            }
            line.add(" ")
            line.spans += characters.spans
            return line
        }
    }
}

/// The stack from its pointer on, with a guess at what is a return address.
struct StackPanel {
    let memory: DebugMemory
    let registers: DebugRegisters
    /// Bytes of a word.
    var width: Int { StackPanel.width(registers) }

    static func width(_ registers: DebugRegisters) -> Int {
        switch registers.mode {
        case .long: 8
        case .protected32, .compatibility32: 4
        default: registers.segments.count > 2 && registers.segments[2].attributes & 0x4000 != 0 ? 4 : 2
        }
    }

    /// SP as the stack segment has it.
    static func pointer(_ registers: DebugRegisters) -> UInt64 {
        let sp = registers.general[4]
        if registers.mode == .long { return sp }
        return registers.segments.count > 2 && registers.segments[2].attributes & 0x4000 != 0 ? sp & 0xFFFF_FFFF : sp & 0xFFFF
    }

    /// Linear address of the stack's top.
    static func linear(_ registers: DebugRegisters) -> UInt64 {
        let base = registers.mode == .long || registers.segments.count < 3 ? 0 : registers.segments[2].base
        let address = base &+ pointer(registers)
        return registers.mode == .long ? address : address & 0xFFFF_FFFF
    }

    private var frame: UInt64 {
        let bp = registers.general[5]
        return registers.mode == .long ? bp : width == 2 ? bp & 0xFFFF : bp & 0xFFFF_FFFF
    }

    func lines(width columns: Int) -> [DebugLine] {
        let top = StackPanel.pointer(registers), code = registers.segments.count > 1 ? registers.segments[1] : nil
        var frames: [UInt64: Int] = [:], link = frame, depth = 0
        // Saved frame pointers lead from frame to frame, each further up.
        while depth < 16, link >= top, let saved = word(link &- top), link &- top < UInt64(memory.bytes.count) {
            frames[link] = depth
            depth += 1
            guard saved > link else { break }
            link = saved
        }
        return stride(from: 0, to: memory.bytes.count - width + 1, by: width).map { n in
            let offset = top &+ UInt64(n)
            var line = DebugLine([])
            line.add("+\(DebugText.hex(UInt64(n), 3)) ", .listKey)
            line.add(DebugText.hex(offset, width == 2 ? 4 : width * 2) + "  ", .listKey)
            guard let value = word(UInt64(n)) else {
                line.add(String(repeating: "?", count: width * 2))
                return line
            }
            line.add(DebugText.hex(value, width * 2))
            if let depth = frames[offset] {
                line.add(depth == 0 ? "  frame" : "  frame of caller \(depth)", .debugSymbol)
            } else if frames[offset &- UInt64(width)] != nil {
                line.add("  returns to", .debugSymbol)
            } else if let code, value != 0, width > 2, value <= UInt64(code.limit), isNear(value) {
                line.add("  code?", .debugSymbol)
            }
            return line
        }
    }

    /// In the same 16 MiB as the next instruction.
    private func isNear(_ value: UInt64) -> Bool { value >> 24 == registers.rip >> 24 && value & 0xFF_FFFF != 0 }

    private func word(_ at: UInt64) -> UInt64? {
        guard at < UInt64(memory.bytes.count), Int(at) + width <= memory.bytes.count else { return nil }
        let n = Int(at)
        guard !memory.missing.contains(where: { $0.overlaps(n..<n + width) }) else { return nil }
        return memory.bytes[n..<n + width].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
}
