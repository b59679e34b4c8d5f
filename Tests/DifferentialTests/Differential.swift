import Glibc

@testable import CPU

/// Runs random tests on the host's processor and on ours, and compares.
final class Differential {
    let host: HostProcessor
    let guest: GuestProcessor
    let generator: Generator
    private let pools: [[UInt8]]
    private let scratch = UnsafeMutableRawPointer.allocate(byteCount: Layout.dataBytes, alignment: 4096)

    /// Instructions chosen at random, and executed with the repetitions of loops, in tests that were compared.
    private(set) var instructions = 0
    private(set) var executed = 0
    private(set) var tests = 0
    /// Tests whose first run on the host was disturbed by the kernel.
    private(set) var disturbed = 0
    /// Ends by vector; the last: no exception.
    private(set) var ends = [Int](repeating: 0, count: 33)

    static let maximumLength = 20

    init(host: HostProcessor, translation: TranslationSettings? = nil) throws {
        self.host = host
        guest = try GuestProcessor(hasLow: host.hasLow, has16: host.has16, translation: translation)
        generator = Generator(guest: guest, hasLow: host.hasLow, has16: host.has16)
        var chance = Chance(0x5649_5452_494E_4521)
        pools = (0..<16).map { _ in chance.dataWindow() }
    }

    deinit { scratch.deallocate() }

    // MARK: One test

    /// What a test needs to run again.
    struct Case {
        var start: MachineState
        var data: [UInt8]
        var image: [UInt8]
        /// Flags not compared at its end.
        var taint: UInt32
        var unknown: [Range<Int>]
        /// The x87's condition codes are compared.
        var codes: Bool
        /// Its last instruction touched an x87 image.
        var endsWithImage: Bool
    }

    /// A disagreement, told in full.
    struct Mismatch: Error {
        let text: String
    }

    /// The test of a seed. Returns nil when both processors agree.
    func test(_ seed: UInt64) -> Mismatch? {
        var chance = Chance(seed)
        let pool = pools[chance.below(pools.count)]
        let length = 1 + chance.below(Differential.maximumLength)
        fill(guest.data, pool)
        let start = generator.make(chance, start: chance.start(), length: length)
        if generator.isSpoilt { return nil }
        let stepped = guest.capture()
        memcpy(scratch, guest.data, Layout.dataBytes)
        tests += 1
        instructions += generator.chosen
        executed += generator.lines.count
        ends[min(stepped.isEnd ? 32 : stepped.vector ?? 32, 32)] += 1
        let test = Case(start: start, data: pool, image: generator.image, taint: generator.taint, unknown: generator.unknown,
            codes: generator.codesAreDefined, endsWithImage: generator.endsWithImage)
        // Twice: the second time the blocks are linked.
        _ = runGuest(test)
        let blocks = runGuest(test)
        if !guest.isOver { return nil }  // an endless loop is nothing for the host
        if let difference = firstDifference(stepped, blocks, nil) ?? memoryDifference(scratch, guest.data, []) {
            // It read code that was not there yet when it was made: no test.
            if firstDifference(stepGuest(test), stepped, nil) ?? memoryDifference(scratch, guest.data, []) != nil { return nil }
            return Mismatch(
                text: "seed \(seed): single steps and blocks of our processor disagree: \(difference)\n"
                    + listing(generator.lines, test.image))
        }
        // A task switch in the middle of the test empties FIP and FDP (see `X87Rules`): a real difference is there every time.
        for attempt in 0..<20 where difference(runHost(test), blocks, test) == nil {
            disturbed += attempt > 0 ? 1 : 0
            return nil
        }
        return explain(seed, test)
    }

    private func fill(_ window: UnsafeMutableRawPointer, _ bytes: [UInt8]) {
        bytes.withUnsafeBytes { window.copyMemory(from: $0.baseAddress.unsafelyUnwrapped, byteCount: Layout.dataBytes) }
    }

    private func runGuest(_ test: Case) -> MachineState {
        fill(guest.data, test.data)
        guest.load(test.start)
        guest.run()
        return guest.capture()
    }

    private func stepGuest(_ test: Case) -> MachineState {
        fill(guest.data, test.data)
        guest.load(test.start)
        for _ in 0..<1000 where guest.isOver || !guest.step() { break }
        return guest.capture()
    }

    private func runHost(_ test: Case) -> MachineState {
        fill(host.data, test.data)
        test.image.withUnsafeBytes { host.codeView.copyMemory(from: $0.baseAddress.unsafelyUnwrapped, byteCount: Layout.codeBytes) }
        return host.run(test.start)
    }

    // MARK: Comparison

    private func difference(_ real: MachineState, _ ours: MachineState, _ test: Case) -> String? {
        firstDifference(real, ours, test) ?? memoryDifference(host.data, guest.data, test.unknown)
    }

    /// RF is pushed by faults and not by the exit; bit 1 and the reserved ones are constant.
    private func firstDifference(_ real: MachineState, _ ours: MachineState, _ test: Case?) -> String? {
        if StateRules.wraps(real, ours) { return nil }
        if real.isEnd != ours.isEnd || !real.isEnd && real.vector != ours.vector { return "exception \(real.endText) / \(ours.endText)" }
        for n in 0..<8 where real.gpr[n] != ours.gpr[n] {
            return "\(MachineState.names[n]) \(hex(real.gpr[n], 8)) / \(hex(ours.gpr[n], 8))"
        }
        let flags = (real.eflags ^ ours.eflags) & ~(test?.taint ?? 0) & ~EFlags.rf
        if flags != 0 { return "flags \(Flags.text(flags)), EFLAGS \(hex(real.eflags, 8)) / \(hex(ours.eflags, 8))" }
        for n in [0, 2, 3] where !StateRules.equal(real.segments[n], ours.segments[n]) {
            return "segment register \(n): \(hex(real.segments[n], 4)) / \(hex(ours.segments[n], 4))"
        }
        if !real.isEnd {
            if real.eip != ours.eip { return "EIP \(hex(real.eip, 8)) / \(hex(ours.eip, 8))" }
            if real.segments[1] != ours.segments[1] { return "CS \(hex(real.segments[1], 4)) / \(hex(ours.segments[1], 4))" }
            // Linux runs with NX, which sets bit 4 for fetches; the guest's page tables have none.
            let mask: UInt32 = real.vector == 14 ? ~0x10 : .max
            if [10, 11, 12, 13, 14, 17].contains(real.vector), (real.errorCode ^ ours.errorCode) & mask != 0 {
                return "error code \(hex(real.errorCode, 4)) / \(hex(ours.errorCode, 4))"
            }
            let page: UInt32 = test?.endsWithImage ?? false ? ~0xFFF : .max
            if real.vector == 14, (real.cr2 ^ ours.cr2) & page != 0 { return "CR2 \(hex(real.cr2, 8)) / \(hex(ours.cr2, 8))" }
        }
        let names = ["FCW", "FSW", "FTW", "FIP", "FOP", "FDP", "FDS"]
        let masks = X87Rules.masks(afterSignal: !real.isEnd, codes: test?.codes ?? true)
        for n in 0..<7 where (real.x87[n] ^ ours.x87[n]) & masks[n] != 0 {
            return "\(names[n]) \(hex(real.x87[n], 8)) / \(hex(ours.x87[n], 8))"
        }
        for n in 0..<8 {
            let (a, b) = (real.st(n), ours.st(n))
            if a != b { return "ST(\(n)) \(hex(a.1, 4)):\(hex(a.0, 16)) / \(hex(b.1, 4)):\(hex(b.0, 16))" }
        }
        return nil
    }

    private func memoryDifference(_ real: UnsafeMutableRawPointer, _ ours: UnsafeMutableRawPointer, _ unknown: [Range<Int>]) -> String? {
        guard memcmp(real, ours, Layout.dataBytes) != 0 else { return nil }
        for n in 0..<Layout.dataBytes {
            let (a, b) = (real.load(fromByteOffset: n, as: UInt8.self), ours.load(fromByteOffset: n, as: UInt8.self))
            if a != b && !unknown.contains(where: { $0.contains(n) }) {
                return "byte \(hex(Layout.high + Layout.data + UInt32(n), 8)) \(hex(a)) / \(hex(b))"
            }
        }
        return nil
    }

    // MARK: Explanation

    /// Shortens the test to the first instruction that disagrees, if it does so alone too, and tells everything about it.
    private func explain(_ seed: UInt64, _ test: Case) -> Mismatch {
        let lines = generator.lines
        var short = test
        var last = lines.count - 1
        for k in 1..<max(lines.count, 1) where lines.firstIndex(where: { $0.eip == lines[k].eip }) == k {
            var candidate = test
            candidate.unknown = []
            candidate.codes = true
            candidate.endsWithImage = false
            candidate.taint = lines[k].taint
            patch(&candidate.image, lines[k])
            generator.restore(candidate.image)
            let ours = runGuest(candidate)
            if guest.isOver, difference(runHost(candidate), ours, candidate) != nil {
                short = candidate
                last = k - 1
                break
            }
        }
        generator.restore(short.image)
        // The instruction alone, from the state that both agreed on.
        var alone = false
        if last > 0 {
            var before = test
            patch(&before.image, lines[last])
            generator.restore(before.image)
            var state = runGuest(before)
            let isFlat = [0, 2, 3].allSatisfy { state.segments[$0] == Layout.flat } && state.segments[1] == Layout.code32
            if state.isEnd && isFlat {
                state.eflags &= ~EFlags.rf
                var single = short
                single.start = state
                single.start.vector = nil
                single.data = (0..<Layout.dataBytes).map { guest.data.load(fromByteOffset: $0, as: UInt8.self) }
                generator.restore(single.image)
                let ours = runGuest(single)
                if guest.isOver, difference(runHost(single), ours, single) != nil {
                    short = single
                    alone = true
                }
            }
            generator.restore(short.image)
        }
        let ours = runGuest(short)
        let real = runHost(short)
        let shown = last < 0 ? [] : alone ? [lines[last]] : Array(lines[0...last])
        let text = """
            seed \(seed), host / ours: \(difference(real, ours, short) ?? "agrees when run again")
            \(listing(shown, short.image))    before: \(short.start.text(since: nil))
                host:   \(real.text(since: short.start))
                ours:   \(ours.text(since: short.start))
            """
        generator.restore(test.image)
        return Mismatch(text: text)
    }

    private func patch(_ image: inout [UInt8], _ line: Generator.Line) {
        for (n, byte) in HostProcessor.exitJump(wide: line.wide).enumerated() { image[Int(line.eip & 0xFFF) + n] = byte }
    }

    private func listing(_ lines: [Generator.Line], _ image: [UInt8]) -> String {
        lines.map { "    \(hex($0.eip, 8))  \(disassembly($0, image))\n" }.joined()
    }

    private func disassembly(_ line: Generator.Line, _ image: [UInt8]) -> String {
        let at = Int(line.eip & 0xFFF)
        let bytes = Array(image[at..<min(at + line.length, image.count)])
        return bytes.map { hex($0) }.joined() + "  " + (Disassembly.text(bytes, wide: line.wide, at: line.eip) ?? "")
    }
}

extension MachineState {
    static let names = ["EAX", "ECX", "EDX", "EBX", "ESP", "EBP", "ESI", "EDI"]

    /// It reached the exit jump: on the host without exception; ours has no 64-bit code segment and faults there.
    var isEnd: Bool { vector == nil || (vector == 11 || vector == 13) && errorCode == UInt32(Layout.code64 & 0xFFFC) }

    var endText: String { isEnd ? "none" : "\(vector ?? -1) at \(hex(eip, 8)), error \(hex(errorCode, 4)), CR2 \(hex(cr2, 8))" }

    /// What differs from an earlier state; everything without one.
    func text(since old: MachineState?) -> String {
        var words: [String] = []
        for n in 0..<8 where old.map({ $0.gpr[n] != gpr[n] }) ?? true { words.append("\(MachineState.names[n])=\(hex(gpr[n], 8))") }
        words.append("EFLAGS=\(hex(eflags, 8)) (\(Flags.text(eflags)))")
        for (n, name) in ["ES", "CS", "SS", "DS"].enumerated() where old.map({ $0.segments[n] != segments[n] }) ?? true {
            words.append("\(name)=\(hex(segments[n], 4))")
        }
        for (n, name) in ["FCW", "FSW", "FTW", "FIP", "FCS:FOP", "FDP", "FDS"].enumerated() where old.map({ $0.x87[n] != x87[n] }) ?? true {
            words.append("\(name)=\(hex([0, 1, 2, 6].contains(n) ? x87[n] & 0xFFFF : x87[n], 4))")
        }
        for n in 0..<8 where old.map({ $0.st(n) != st(n) }) ?? true { words.append("ST\(n)=\(hex(st(n).1, 4)):\(hex(st(n).0, 16))") }
        words.append("exception \(endText)")
        return words.joined(separator: " ")
    }
}
