import EmptyBoard
import Foundation
import Primitives
import Testing

@testable import CPU

/// One captured test of a MOO file.
struct Vector {
    struct State {
        /// ax bx cx dx cs ss ds es sp bp si di ip flags; nil: not recorded (final state: unchanged).
        var registers = [UInt16?](repeating: nil, count: 14)
        var memory: [(address: Int, value: UInt8)] = []
    }
    var name = ""
    var bytes: [UInt8] = []
    var initial = State()
    var final = State()
    /// Exception the processor took, and where it pushed the flags.
    var exception: (vector: UInt8, flagAddress: Int)?
}

/// Reads the MOO format that `vectors/README.md` describes.
struct VectorFile {
    private let data: [UInt8]
    private(set) var vectors: [Vector] = []

    init(_ data: [UInt8]) {
        self.data = data
        for chunk in chunks(0, data.count) where chunk.tag == "TEST" {
            var vector = Vector()
            for part in chunks(chunk.start + 4, chunk.end) {
                switch part.tag {
                case "NAME": vector.name = String(decoding: data[(part.start + 4)..<part.end], as: UTF8.self)
                case "BYTS": vector.bytes = Array(data[(part.start + 4)..<part.end])
                case "INIT": vector.initial = state(part.start, part.end)
                case "FINA": vector.final = state(part.start, part.end)
                case "EXCP": vector.exception = (data[part.start], Int(u32(part.start + 1)))
                default: break
                }
            }
            vectors.append(vector)
        }
    }

    private func u16(_ at: Int) -> UInt16 { UInt16(data[at]) | UInt16(data[at + 1]) << 8 }
    private func u32(_ at: Int) -> UInt32 { UInt32(u16(at)) | UInt32(u16(at + 2)) << 16 }

    private func chunks(_ from: Int, _ to: Int) -> [(tag: String, start: Int, end: Int)] {
        var result: [(String, Int, Int)] = []
        var at = from
        while at + 8 <= to {
            let tag = String(decoding: data[at..<(at + 4)], as: UTF8.self).trimmingCharacters(in: .whitespaces)
            let length = Int(u32(at + 4))
            result.append((tag, at + 8, at + 8 + length))
            at += 8 + length
        }
        return result
    }

    private func state(_ from: Int, _ to: Int) -> Vector.State {
        var state = Vector.State()
        for part in chunks(from, to) {
            if part.tag == "REGS" {
                let mask = u16(part.start)
                var at = part.start + 2
                for bit in 0..<14 where mask & (1 << UInt16(bit)) != 0 {
                    state.registers[bit] = u16(at)
                    at += 2
                }
            } else if part.tag == "RAM" {
                for i in 0..<Int(u32(part.start)) {
                    let at = part.start + 4 + i * 5
                    state.memory.append((Int(u32(at)), data[at + 4]))
                }
            }
        }
        return state
    }
}

/// Where the 80286 differs from a Pentium Pro by specification. A vector is left out by one of these rules, never by its name.
enum VectorRule {
    /// Flags that the SDM calls undefined after this instruction (Vol. 2, "Flags Affected"), as an EFLAGS mask.
    static func undefinedFlags(_ form: Form) -> UInt16 {
        let (of, sf, zf, af, pf, cf): (UInt16, UInt16, UInt16, UInt16, UInt16, UInt16) = (0x800, 0x80, 0x40, 0x10, 4, 1)
        switch form.opcode {
        case 0x27, 0x2F: return of
        case 0x37, 0x3F: return of | sf | zf | pf
        case 0xD4, 0xD5: return of | af | cf
        case 0x20...0x25, 0x08...0x0D, 0x30...0x35, 0x84, 0x85, 0xA8, 0xA9: return af
        case 0x80...0x83 where [1, 4, 6].contains(form.digit): return af
        case 0xF6, 0xF7:
            switch form.digit {
            case 0, 1: return af
            case 4, 5: return sf | zf | af | pf
            case 6, 7: return of | sf | zf | af | pf | cf
            default: return 0
            }
        case 0x69, 0x6B: return sf | zf | af | pf
        case 0xC0, 0xC1, 0xD0...0xD3:
            // OF is defined for a count of 1 only; AF is undefined for shifts; CF when SHL/SHR count exceeds the width.
            let shift = form.digit >= 4
            var mask: UInt16 = shift ? af : 0
            if form.count != 1 { mask |= of }
            if shift && form.digit != 7 && form.count >= (form.opcode & 1 == 0 ? 8 : 16) { mask |= cf }
            return mask
        default: return 0
        }
    }

    /// Why this vector cannot hold on a later processor; nil when it must.
    static func exemption(_ vector: Vector, _ form: Form) -> String? {
        // 0F xx, 63, F1 and 64–67 are other instructions on later processors: 286 System instructions stay.
        if form.length > 10 && vector.exception?.vector == 13 { return "10-byte instruction limit (286 PRM, 9.8)" }
        if form.prefixes.contains(where: { (0x64...0x67).contains($0) }) { return "64–67 are prefixes from the 386 on" }
        if form.opcode == 0x0F {
            let isMSW = form.second == 1 && (form.digit == 4 || form.digit == 6)
            return isMSW ? "MSW bits differ: CR0 on later processors" : "two-byte opcode space changed"
        }
        if form.opcode == 0x8C || form.opcode == 0x8E, form.digit >= 4 { return "FS and GS exist from the 386 on" }
        // 80286 Programmer's Reference Manual, table B-1: interrupt 13 for every segment overrun; SDM Vol. 3A, 20.1.4: 12 for SS.
        if vector.exception?.vector == 13 && form.usesStackSegment { return "stack overrun is interrupt 12 from the 386 on" }
        if vector.exception?.vector == 13 && form.opcode == 0x8F { return "a faulting POP leaves SP advanced on the 286; later faults restart" }
        if form.prefixes.contains(0xF0) { return "LOCK rules: #UD on later processors (SDM Vol. 2A, LOCK)" }
        return nil
    }

    struct Form {
        var prefixes: [UInt8] = []
        var opcode: UInt8 = 0
        var second: UInt8 = 0
        var digit = 0
        var count = 1
        var length = 0
        var modrm: UInt8 = 0

        var isString: Bool { [0x6C, 0x6D, 0x6E, 0x6F, 0xA4, 0xA5, 0xA6, 0xA7, 0xAA, 0xAB, 0xAC, 0xAD, 0xAE, 0xAF].contains(opcode) }

        /// Stack instructions, and memory operands based on BP without an override.
        var usesStackSegment: Bool {
            switch opcode {
            case 0x50...0x61, 0x68, 0x6A, 0x9A, 0x9C, 0x9D, 0xC2, 0xC3, 0xC8...0xCF, 0xE8: return true
            default: break
            }
            if isString || opcode < 0x40 && opcode & 7 > 3 { return prefixes.contains(0x36) }
            let override = prefixes.last { [0x26, 0x2E, 0x36, 0x3E].contains($0) }
            if let override { return override == 0x36 }
            return modrm < 0xC0 && ([2, 3].contains(modrm & 7) || modrm & 7 == 6 && modrm >= 0x40)
        }
    }

    static func form(_ vector: Vector) -> Form {
        var form = Form()
        var at = 0
        let b = vector.bytes
        while at < b.count, [0x26, 0x2E, 0x36, 0x3E, 0xF0, 0xF2, 0xF3, 0x64, 0x65, 0x66, 0x67].contains(b[at]) {
            form.prefixes.append(b[at])
            at += 1
        }
        guard at < b.count else { return form }
        form.opcode = b[at]
        form.length = b.count - (b.last == 0xF4 ? 1 : 0)
        if form.opcode == 0x0F && at + 2 < b.count {
            form.second = b[at + 1]
            form.digit = Int(b[at + 2] >> 3) & 7
        } else if at + 1 < b.count {
            form.digit = Int(b[at + 1] >> 3) & 7
            form.modrm = b[at + 1]
        }
        switch form.opcode {
        case 0xD2, 0xD3: form.count = Int((vector.initial.registers[2] ?? 0) & 31)
        case 0xC0, 0xC1:
            let modrm = b[at + 1]
            var skip = 2
            if modrm < 0xC0 { skip += modrm >> 6 == 1 ? 1 : modrm >> 6 == 2 || modrm & 7 == 6 ? 2 : 0 }
            form.count = at + skip < b.count ? Int(b[at + skip] & 31) : 0
        default: break
        }
        return form
    }
}

@Suite("vectors · 80286 captured from hardware") struct VectorTests {
    static var directory: URL {
        if let path = ProcessInfo.processInfo.environment["VITRINE_VECTORS"] { return URL(fileURLWithPath: path) }
        return URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("shared/vectors/80286-real")
    }

    static func unpack(_ url: URL) throws -> [UInt8] {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/gzip")
        process.arguments = ["-dc", url.path]
        let pipe = Pipe()
        process.standardOutput = pipe
        try process.run()
        let data = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return [UInt8](data)
    }

    /// Asked for, or there.
    static var areThere: Bool {
        ProcessInfo.processInfo.environment["VITRINE_VECTORS"] != nil || FileManager.default.fileExists(atPath: directory.path)
    }

    @Test(
        "every vector gives the captured registers, flags and memory, or is exempt by a rule",
        .enabled(if: areThere, "no vectors: set VITRINE_VECTORS"), arguments: [false, true])
    func all(translated: Bool) throws {
        let directory = VectorTests.directory
        let files = try FileManager.default.contentsOfDirectory(at: directory, includingPropertiesForKeys: nil)
            .filter { $0.lastPathComponent.hasSuffix(".MOO.gz") }.sorted { $0.lastPathComponent < $1.lastPathComponent }
        #expect(files.count > 0, "no *.MOO.gz in \(directory.path)")
        let memory = try GuestMemory(ramBytes: 17 << 20, extraBytes: 1 << 20)
        memory.setMap([.init(base: 0, bytes: 17 << 20, read: 0, write: 0)])
        let bus = NoBoard()
        let processor = Processor(
            memory: memory, bus: bus, model: .pentiumPro, translation: translated ? TranslationSettings(threshold: 1, codeBytes: 4 << 20) : nil)
        var passed = 0
        var exempt: [String: Int] = [:]
        var failures: [String: (Int, String)] = [:]
        for file in files {
            for vector in VectorFile(try VectorTests.unpack(file)).vectors {
                let form = VectorRule.form(vector)
                if let rule = VectorRule.exemption(vector, form) {
                    exempt[rule, default: 0] += 1
                } else if let difference = run(vector, form, processor, memory) {
                    let old = failures[file.lastPathComponent]
                    let bytes = vector.bytes.map(\.hex).joined(separator: " ")
                    failures[file.lastPathComponent] = ((old?.0 ?? 0) + 1, old?.1 ?? "\(vector.name) \(bytes): \(difference)")
                } else {
                    passed += 1
                }
            }
        }
        for (file, (count, first)) in failures.sorted(by: { $0.key < $1.key }) { Issue.record("\(file): \(count) differ, first: \(first)") }
        print("vectors, \(translated ? "translated" : "interpreted"): \(passed) passed, \(failures.values.reduce(0) { $0 + $1.0 }) failed, exempt: \(exempt)")
        #expect(passed > files.count, "nothing ran")
        if translated { #expect(processor.translationStatistics?.direct ?? 0 > UInt64(passed) / 20, "nothing ran as host code") }
    }

    private func run(_ vector: Vector, _ form: VectorRule.Form, _ processor: Processor, _ memory: GuestMemory) -> String? {
        processor.reset()
        var state = processor.state
        let r = vector.initial.registers.map { $0 ?? 0 }
        for (index, register) in [0, 3, 1, 2].enumerated() { state.gpr[register] = UInt64(r[index]) }
        for (index, segment) in [(4, 1), (5, 2), (6, 3), (7, 0)] {
            state.seg[segment].selector = r[index]
            state.seg[segment].base = UInt64(r[index]) << 4
            state.seg[segment].limit = 0xFFFF
            state.seg[segment].attributes = 0x93
        }
        state.gpr[4] = UInt64(r[8])
        state.gpr[5] = UInt64(r[9])
        state.gpr[6] = UInt64(r[10])
        state.gpr[7] = UInt64(r[11])
        state.rip = UInt64(r[12])
        for byte in vector.initial.memory { memory.store(Physical(byte.address), byte.value) }
        processor.state = state
        processor.eflags = UInt32(r[13] & 0xFFF)
        let exit = processor.run(budget: 200_000)
        defer {
            for byte in vector.initial.memory { memory.store(Physical(byte.address), 0 as UInt8) }
            for byte in vector.final.memory { memory.store(Physical(byte.address), 0 as UInt8) }
        }
        guard exit == .halted else {
            return "ended by \(exit) at \(processor.state.seg[1].selector.hex):\(UInt16(truncatingIfNeeded: processor.state.rip).hex)"
        }
        let end = processor.state
        let names = ["ax", "bx", "cx", "dx", "cs", "ss", "ds", "es", "sp", "bp", "si", "di", "ip", "flags"]
        var got = [UInt16](repeating: 0, count: 14)
        for (index, register) in [0, 3, 1, 2].enumerated() { got[index] = UInt16(truncatingIfNeeded: end.gpr[register]) }
        for (index, segment) in [(4, 1), (5, 2), (6, 3), (7, 0)] { got[index] = end.seg[segment].selector }
        for (index, register) in [(8, 4), (9, 5), (10, 6), (11, 7)] { got[index] = UInt16(truncatingIfNeeded: end.gpr[register]) }
        got[12] = UInt16(truncatingIfNeeded: end.rip)
        got[13] = UInt16(truncatingIfNeeded: processor.eflags)
        let undefined = VectorRule.undefinedFlags(form)
        for index in 0..<14 {
            var mask: UInt16 = 0xFFFF
            if index == 13 { mask = 0x0FFF & ~undefined }
            // The 80286 leaves the registers of a faulting string instruction advanced; from the 386 on they are as before
            // (SDM Vol. 3A, "Exception Classifications": faults restart).
            if vector.exception?.vector == 13 && form.isString && [2, 10, 11].contains(index) { continue }
            let want = vector.final.registers[index] ?? r[index]
            if got[index] & mask != want & mask { return "\(names[index]) is \(got[index].hex), captured \(want.hex)" }
        }
        for byte in vector.final.memory {
            var mask: UInt8 = 0xFF
            if let exception = vector.exception {
                // The recorded address is the bus cycle's: a word at an odd stack pointer starts one byte later.
                let flags = exception.flagAddress & ~1 | Int(r[8] & 1)
                if byte.address == flags { mask &= ~UInt8(truncatingIfNeeded: undefined) }
                if byte.address == flags + 1 { mask &= ~UInt8(truncatingIfNeeded: undefined >> 8) & 0x0F }
            }
            let value = memory.load(Physical(byte.address), as: UInt8.self)
            if value & mask != byte.value & mask { return "memory \(UInt32(byte.address).hex) is \(value.hex), captured \(byte.value.hex)" }
        }
        return nil
    }
}
