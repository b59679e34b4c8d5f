@testable import CPU

/// One random test: code written piece by piece while our processor executes it, so that each instruction is chosen for the registers
/// and the memory that it will meet, and no instruction reads a flag that an earlier one left undefined.
final class Generator {
    /// An instruction of the test in the order of execution.
    struct Line {
        var eip: UInt32
        var length: Int
        /// Flags that are undefined before it.
        var taint: UInt32
        /// Code is 32-bit.
        var wide: Bool
    }

    let guest: GuestProcessor
    let hasLow: Bool
    let has16: Bool
    let forms: [Form]
    private let ordinary: [Int]
    private let faulting: [Int]
    private let packed: [Int]
    /// How often each form ran; the last entry is the x87.
    private(set) var executed: [Int]
    private(set) var ruleUses = [Int](repeating: 0, count: FlagRule.allCases.count)

    var chance = Chance(0)
    /// The code as both processors have it.
    private(set) var image = [UInt8](repeating: 0xCC, count: Layout.codeBytes)
    private var used: UInt32 = 0
    private(set) var lines: [Line] = []
    /// Instructions that were chosen for this test; `lines` has those of loops several times.
    private(set) var chosen = 0
    private(set) var taint: UInt32 = 0
    private(set) var unknown: [Range<Int>] = []
    private(set) var codesAreDefined = true
    /// The last instruction touched an x87 image: only the page of its CR2 is compared.
    private(set) var endsWithImage = false
    /// Instructions that belong together and come next.
    private var pending: [Item] = []
    /// The instruction at each EIP, for loops that come back to it.
    private var placed: [UInt32: Item] = [:]
    /// The test is no use: a loop ran too long, or read an undefined flag when it came round.
    private(set) var isSpoilt = false
    private var profile = 0

    init(guest: GuestProcessor, hasLow: Bool, has16: Bool) {
        self.guest = guest
        self.hasLow = hasLow
        self.has16 = has16
        let forms = Form.all()
        self.forms = forms
        packed = forms.indices.filter { forms[$0].row.mnemonic == .mmx || forms[$0].row.mnemonic == .emms }
        faulting = forms.indices.filter { forms[$0].alwaysFaults }
        ordinary = forms.indices.filter { !forms[$0].alwaysFaults && forms[$0].row.mnemonic != .mmx && forms[$0].row.mnemonic != .emms }
        executed = [Int](repeating: 0, count: forms.count + 1)
    }

    // MARK: A test

    /// Writes and executes a test of at most `length` instructions from `start` (EIP is chosen here). The guest is loaded and its data set.
    /// Returns the start with its EIP.
    func make(_ seed: Chance, start: MachineState, length: Int) -> MachineState {
        chance = seed
        for piece in 0..<Layout.pieces where used >> UInt32(piece) & 1 != 0 { erase(piece) }
        used = 0
        lines.removeAll(keepingCapacity: true)
        pending.removeAll(keepingCapacity: true)
        unknown.removeAll(keepingCapacity: true)
        taint = 0
        codesAreDefined = true
        endsWithImage = false
        isSpoilt = false
        chosen = 0
        placed.removeAll(keepingCapacity: true)
        profile = chance.below(10)
        var start = start
        start.eip = Layout.high + Layout.code + UInt32(takePiece())
        guest.load(start)
        if has16 && chance.percent(20) { enter16() }
        var attempts = 0
        while lines.count < length && attempts < length * 20 {
            attempts += 1
            if placed[guest.eip] != nil {
                if !goRound() { return start }
                continue
            }
            guard var item = next() else { continue }
            if !room(for: item) {
                // A relative branch was made for this place.
                if !item.isRelative { pending.insert(item, at: 0) }
                item = detour()
            }
            let effect = self.effect(item)
            if effect.0.reads & taint != 0 || effect.0.undefinedResult {
                pending.removeAll(keepingCapacity: true)
                continue
            }
            if !emit(item, effect.0) { return start }
            if let rule = effect.1 { ruleUses[rule.rawValue] += 1 }
            if item.form == -1, guest.hasPendingException, X87Rules.compares(item.x87Opcode, item.modrm) || effect.0.sets != 0 {
                // The two makers differ: see `X87Rules`.
                codesAreDefined = effect.0.sets != 0
                if effect.0.sets != 0 { taint = Flags.all }
                break
            }
            if item.isLast {
                unknown = item.unknown
                break
            }
        }
        if placed[guest.eip] != nil, !goRound() { return start }
        write(Int(guest.eip) & 0xFFF, HostProcessor.exitJump(wide: isWide))
        guest.run()
        return start
    }

    /// The start of `lines[index]` now holds the exit jump.
    func cut(before index: Int) {
        let line = lines[index]
        write(Int(line.eip) & 0xFFF, HostProcessor.exitJump(wide: line.wide))
    }

    /// Puts back what `bytes` had.
    func restore(_ bytes: [UInt8]) {
        image = bytes
        guest.writeCode(0, bytes)
    }

    private func emit(_ item: Item, _ effect: FlagEffect) -> Bool {
        let eip = guest.eip
        endsWithImage = item.isImage
        write(Int(eip) & 0xFFF, item.code.array)
        lines.append(Line(eip: eip, length: item.code.count, taint: taint, wide: isWide))
        chosen += 1
        placed[eip] = item
        if item.form >= 0 { executed[item.form] += 1 } else if item.form == -1 { executed[forms.count] += 1 }
        guard guest.step() else {
            taint |= effect.undefined
            return false
        }
        taint = taint & ~effect.sets | effect.undefined
        isSpoilt = !isInCode
        return !isSpoilt
    }

    /// What needs more care than a loop takes: operands that must be mapped, selectors that must be known, flags without NT.
    private static let onceOnly: Set<Mnemonic> = [
        .popa, .pusha, .retf, .iret, .enter, .cmps, .movs, .arpl, .lar, .lsl, .verr, .verw, .movSeg, .popSeg, .lds, .les, .lss,
    ]

    /// A branch led back to instructions that are there already: executes them again until it falls out.
    /// Returns false when the test is over.
    private func goRound() -> Bool {
        for _ in 0..<200 {
            guard var item = placed[guest.eip] else { return true }
            if item.usesCL { item.count = Int(register(1) & 0xFF) }
            if item.mnemonic == .cmps || item.mnemonic == .scas, item.repeats { item.count = Int(register(1)) }
            let effect = self.effect(item).0
            // Where rules depend on more than flags, the loop is not worth the trouble.
            if Generator.onceOnly.contains(item.mnemonic) { isSpoilt = true }
            let compares = item.form == -1 && (effect.sets != 0 || X87Rules.compares(item.x87Opcode, item.modrm))
            if effect.reads & taint != 0 || effect.undefinedResult || compares {
                isSpoilt = true
            }
            if isSpoilt { return false }
            lines.append(Line(eip: guest.eip, length: item.code.count, taint: taint, wide: isWide))
            endsWithImage = item.isImage
            guard guest.step() else {
                taint |= effect.undefined
                return false
            }
            taint = taint & ~effect.sets | effect.undefined
            // A return whose address was not pushed this time.
            if !isInCode { break }
        }
        isSpoilt = true
        return false
    }

    /// DEC ECX or LOOP, and a jump back to an instruction of this test.
    private func back() -> Item? {
        let candidates = lines.suffix(8).filter { $0.wide == isWide && $0.eip >> 16 == guest.eip >> 16 }
        guard !candidates.isEmpty, pending.isEmpty else { return nil }
        let target = Int(candidates[candidates.startIndex + chance.below(candidates.count)].eip & 0xFFF)
        var item = Item()
        let start = Int(guest.eip & 0xFFF)
        let size = isWide ? 4 : 2
        let usesLoop = target - (start + 2) >= -128 && target <= start && chance.percent(50)
        if usesLoop {
            item.mnemonic = .loop
            item.code = Encoding([0xE2])
            item.code.append(UInt32(bitPattern: Int32(target - (start + 2))), 1)
        } else {
            item.mnemonic = .jcc
            item.condition = UInt8(chance.below(16))
            item.code = relative([0x0F, 0x80 | item.condition], guest.eip, target, size)
        }
        item.isRelative = true
        return item
    }

    private func effect(_ item: Item) -> (FlagEffect, FlagRule?) {
        if item.form == -1 {
            return (Flags.effect(x87: item.x87Opcode, item.modrm), nil)
        }
        return Flags.effect(item.mnemonic, condition: item.condition, bits: item.bits, count: item.count)
    }

    private func write(_ offset: Int, _ bytes: [UInt8]) {
        for (n, byte) in bytes.enumerated() { image[offset + n] = byte }
        guest.writeCode(offset, bytes)
    }

    private func erase(_ piece: Int) {
        let at = piece * Layout.pieceBytes
        write(at, [UInt8](repeating: 0xCC, count: Layout.pieceBytes))
    }

    // MARK: Places for code

    /// EIP lies where code may be. Data is executable for the guest, which has no NX.
    private var isInCode: Bool { guest.eip & ~0xFFF == Layout.high + Layout.code && isWide || guest.eip & ~0xFFF == Layout.code }

    var isWide: Bool { guest.selector(Seg.cs) != Layout.code16 }

    /// Offset in a piece that was free.
    private func takePiece() -> Int {
        var piece = chance.below(Layout.pieces)
        while used >> UInt32(piece) & 1 != 0 { piece = (piece + 1) % Layout.pieces }
        used |= 1 << UInt32(piece)
        return piece * Layout.pieceBytes + chance.below(24)
    }

    private var freePieces: Int { Layout.pieces - used.nonzeroBitCount }

    /// The instruction and an exit jump fit into the current piece.
    private func room(for item: Item) -> Bool { Int(guest.eip) % Layout.pieceBytes + item.code.count + 8 <= Layout.pieceBytes }

    /// A jump out of a full piece: `room` has kept the place of an exit jump, which is longer.
    private func detour() -> Item {
        var item = Item()
        item.mnemonic = .jmp
        let from = guest.eip
        let target = takePiece()
        item.code = relative([0xE9], from, target, isWide ? 4 : 2)
        return item
    }

    /// A near branch with a displacement of `size` bytes to an offset in the code.
    private func relative(_ opcode: [UInt8], _ from: UInt32, _ target: Int, _ size: Int) -> Encoding {
        var code = Encoding(opcode)
        let distance = Int(Layout.code) + target - (Int(Layout.code) + Int(from & 0xFFF) + opcode.count + size)
        code.append(UInt32(bitPattern: Int32(distance)), size)
        return code
    }

    /// EIP of an offset in the code for a jump that sets 32 bits of it, or 16.
    private func eip(_ offset: Int, wide: Bool) -> UInt32 {
        let low = Layout.code + UInt32(offset)
        if !isWide || !wide { return low }
        return hasLow && chance.percent(20) ? low : Layout.high + low
    }

    // MARK: Choice

    private func next() -> Item? {
        if !pending.isEmpty { return pending.removeFirst() }
        if chance.percent(2), let item = back() { return item }
        let dice = chance.below(100)
        // Profiles: 0–4 integer, 5 and 6 x87, 7 MMX, 8 and 9 all together.
        let (x87, mmx) = profile < 5 ? (1, 1) : profile < 7 ? (80, 2) : profile < 8 ? (8, 70) : (25, 20)
        if dice < x87 { return floating() }
        if dice < x87 + mmx { return general(packed[chance.below(packed.count)]) }
        if chance.below(250) == 0 { return general(faulting[chance.below(faulting.count)]) }
        return general(ordinary[chance.below(ordinary.count)])
    }

    /// MOV r32, imm32.
    private func load(_ register: Int, _ value: UInt32) -> Item {
        var item = Item()
        item.code = Encoding(isWide ? [] : [0x66])
        item.code.append(0xB8 | UInt8(register))
        item.code.append(value, 4)
        return item
    }

    /// Queues `items` behind the first, which is returned.
    private func sequence(_ items: [Item]) -> Item? {
        pending.append(contentsOf: items)
        return pending.isEmpty ? nil : pending.removeFirst()
    }

    /// PUSH imm of 2 or 4 bytes, as the operand size of `wide` has it.
    private func push(_ value: UInt32, wide: Bool) -> Item {
        var item = Item()
        item.mnemonic = .push
        item.code = Encoding(wide == isWide ? [] : [0x66])
        item.code.append(0x68)
        item.code.append(value, wide ? 4 : 2)
        return item
    }

    private func enter16() {
        // mov eax, data16; mov ss, eax; mov ds, eax; mov es, eax; jmp far code16:offset.
        var jump = Encoding([0xEA])
        jump.append(Layout.code + UInt32(takePiece()), 4)
        jump.append(UInt32(Layout.code16), 2)
        pending.append(load(0, UInt32(Layout.data16)))
        let moves: [[UInt8]] = chance.percent(80) ? [[0x8E, 0xD0], [0x8E, 0xD8], [0x8E, 0xC0]] : hasLow ? [] : [[0x8E, 0xD8], [0x8E, 0xC0]]
        for bytes in moves + [jump.array] {
            var item = Item()
            // Not for loops: the selector is known for the first time round only.
            item.mnemonic = .movSeg
            item.code = Encoding(bytes)
            pending.append(item)
        }
    }

    // MARK: Memory

    private func register(_ n: Int) -> UInt32 { guest.register(n) }

    /// Start of the data as an offset in a segment; nil: nothing is mapped where it can reach.
    private func window(_ segment: Int, narrow: Bool) -> UInt32? {
        let selector = guest.selector(segment)
        if selector == Layout.data16 || selector == Layout.code16 { return Layout.data }
        if narrow { return hasLow ? Layout.data : nil }
        return hasLow && chance.percent(15) ? Layout.data : Layout.high + Layout.data
    }

    struct Memory {
        var prefix: UInt8 = 0
        /// ModR/M without the reg field, SIB, displacement.
        var modrm: UInt8 = 0
        var rest = Encoding()
        /// Offset of the operand in the data; negative or too large: it faults.
        var place = 0
    }

    /// An operand of `bytes` bytes; `shift` is what the instruction adds to the address itself (bit strings, XLAT).
    private func memory(bytes: Int, narrow: Bool, aligned: Bool, shift: Int = 0) -> Memory? {
        var m = Memory()
        let override: Int? = chance.percent(12) ? [Seg.es, Seg.ss, Seg.ds, Seg.cs][chance.below(4)] : chance.below(400) == 0 ? Seg.fs : nil
        if let override { m.prefix = [0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65][override] }
        for attempt in 0..<8 {
            let mod = attempt == 7 ? 2 : chance.below(3)
            let rm = chance.below(8)
            var rest = Encoding()
            var sum: UInt32 = 0
            var segment = Seg.ds
            var dispBytes = mod == 0 ? 0 : mod == 1 ? 1 : narrow ? 2 : 4
            if narrow {
                let pairs: [[Int]] = [[3, 6], [3, 7], [5, 6], [5, 7], [6], [7], [5], [3]]
                if mod == 0 && rm == 6 {
                    dispBytes = 2
                } else {
                    for n in pairs[rm] { sum &+= register(n) }
                    if rm == 2 || rm == 3 || rm == 6 { segment = Seg.ss }
                }
            } else if rm == 4 {
                let scale = chance.below(4)
                let index = chance.below(8)
                let base = chance.below(8)
                rest.append(UInt8(scale << 6 | index << 3 | base))
                if base == 5 && mod == 0 {
                    dispBytes = 4
                } else {
                    sum = register(base)
                    if base == 4 || base == 5 { segment = Seg.ss }
                }
                if index != 4 { sum &+= register(index) << UInt32(scale) }
            } else if rm == 5 && mod == 0 {
                dispBytes = 4
            } else {
                sum = register(rm)
                if rm == 5 { segment = Seg.ss }
            }
            let effective = override ?? segment
            guard let start = effective == Seg.fs ? Layout.data : window(effective, narrow: narrow) else { continue }
            let mask: UInt32 = narrow ? 0xFFFF : 0xFFFF_FFFF
            var place: Int
            var disp: UInt32 = 0
            if dispBytes >= 2 {
                place = self.place(bytes, aligned: aligned)
                disp = start &+ UInt32(truncatingIfNeeded: place - shift) &- sum
            } else {
                disp = dispBytes == 1 ? UInt32(bitPattern: Int32(Int8(truncatingIfNeeded: chance.next()))) : 0
                let at = (sum &+ disp) & mask &- start
                place = Int(Int32(bitPattern: at)) + shift
                if place < 0 || place + bytes > Layout.dataBytes || aligned && place & 7 != 0 { continue }
            }
            rest.append(disp, dispBytes)
            m.modrm = UInt8(mod << 6 | rm)
            m.rest = rest
            m.place = place
            return m
        }
        return nil
    }

    /// Where an operand goes: aligned, anywhere, across a page, or, seldom, over the end of what is mapped.
    private func place(_ bytes: Int, aligned: Bool) -> Int {
        if aligned { return chance.below((Layout.dataBytes - bytes) / 8) * 8 }
        switch chance.below(64) {
        case 0: return chance.percent(50) ? Layout.dataBytes - chance.below(bytes + 4) : -chance.below(bytes + 4)
        case 1...5: return max(0, (1 + chance.below(3)) * 4096 - chance.below(bytes + 1))
        case 6...30: return chance.below(Layout.dataBytes - bytes)
        default: return chance.below((Layout.dataBytes - bytes) / 8) * 8
        }
    }

    /// A little-endian number of the data.
    private func peek(_ place: Int, _ bytes: Int) -> UInt32 {
        guard place >= 0, place + bytes <= Layout.dataBytes else { return 0 }
        var value: UInt32 = 0
        for n in 0..<bytes { value |= UInt32(guest.data.load(fromByteOffset: place + n, as: UInt8.self)) << UInt32(8 * n) }
        return value
    }

    /// Selectors whose descriptors are the same here and there: not Linux's 64-bit code segment nor the one with the CPU's number.
    private func isKnown(_ selector: UInt32) -> Bool {
        let index = selector >> 3 & 0x1FFF
        return selector & 4 != 0 || index != 6 && index != 15
    }

    /// A data segment register holds a code segment, which cannot be written.
    private var hasCodeSegments: Bool {
        [Seg.ds, Seg.es, Seg.ss].contains { guest.selector($0) == Layout.code32 || guest.selector($0) == Layout.code16 }
    }

    private func someSelector() -> UInt32 {
        switch chance.below(20) {
        case 0...9: return UInt32(Layout.flat)
        case 10, 11: return UInt32(chance.below(4))
        case 12...14: return has16 ? UInt32(Layout.data16) : UInt32(Layout.flat)
        case 15: return UInt32(Layout.code32)
        default:
            let selector = chance.u32() & (chance.percent(70) ? 0x7F : 0xFFFF)
            return isKnown(selector) ? selector : UInt32(Layout.flat)
        }
    }

    /// Offset of an address within the data, when a segment leads there.
    private func dataPlace(_ segment: Int, _ offset: UInt32) -> Int? {
        let selector = guest.selector(segment)
        let based = selector == Layout.data16 || selector == Layout.code16
        if based || offset < 0x1_0000 {
            if !based && !hasLow { return nil }
            return offset >= Layout.data && offset < Layout.dataEnd ? Int(offset - Layout.data) : nil
        }
        let at = offset &- Layout.high
        return at >= Layout.data && at < Layout.dataEnd ? Int(at - Layout.data) : nil
    }

    // MARK: Stack

    private var stackIsWide: Bool { guest.selector(Seg.ss) != Layout.data16 }

    private var stackPlace: Int? { dataPlace(Seg.ss, stackIsWide ? register(4) : register(4) & 0xFFFF) }

    /// A MOV that brings ESP back to the data; nil when 256 bytes on both sides are there.
    private func stackFix(always: Bool = false) -> Item? {
        if let at = stackPlace, at >= 256, at + 256 <= Layout.dataBytes { return nil }
        if !always && chance.percent(3) { return nil }
        return load(4, someStackPointer())
    }

    private func someStackPointer() -> UInt32 {
        let offset = Layout.data + UInt32(0x200 + chance.below(Layout.dataBytes - 0x400)) & ~UInt32(chance.percent(85) ? 3 : 0)
        if !stackIsWide { return offset | (chance.percent(50) ? chance.u32() & 0xFFFF_0000 : 0) }
        return hasLow && chance.percent(15) ? offset : Layout.high + offset
    }

    // MARK: x87

    private func floating() -> Item? {
        var item = Item()
        item.form = -1
        item.mnemonic = .fpu
        let opcode = UInt8(0xD8 + chance.below(8))
        item.x87Opcode = opcode
        var sized = isWide
        if chance.percent(5) {
            item.code.append(0x66)
            sized.toggle()
        }
        if chance.percent(55) {
            item.modrm = UInt8(0xC0 + chance.below(64))
            let row = Int(opcode & 7) << 3 | Int(item.modrm >> 3 & 7)
            let reserved: Bool
            switch row {
            case 10: reserved = item.modrm & 7 != 0
            case 12: reserved = [2, 3, 6, 7].contains(item.modrm & 7)
            case 13: reserved = item.modrm & 7 == 7
            case 20, 22, 23, 31, 46, 47, 63: reserved = true
            case 21, 51: reserved = item.modrm & 7 != 1
            case 28: reserved = item.modrm & 7 > 4
            case 60: reserved = item.modrm & 7 != 0
            default: reserved = false
            }
            if reserved && !chance.percent(3) { return nil }
            // FNINIT and FINIT empty the stack: seldom.
            if row == 28 && item.modrm & 7 == 3 && !chance.percent(20) { return nil }
            item.code.append(opcode)
            item.code.append(item.modrm)
            return item
        }
        let reg = chance.below(8)
        let environment = sized ? 28 : 14
        let bytes: Int
        switch (opcode, reg) {
        case (0xD9, 1), (0xDB, 4), (0xDB, 6), (0xDD, 5):
            if !chance.percent(3) { return nil }
            bytes = 4
        case (0xDB, 1), (0xDD, 1), (0xDF, 1): return nil  // FISTTP, SSE3
        case (0xD9, 4), (0xD9, 6):
            if !chance.percent(20) { return nil }
            bytes = environment
        case (0xDD, 4), (0xDD, 6):
            if !chance.percent(20) { return nil }
            bytes = environment + 80
        case (0xD9, 5), (0xD9, 7), (0xDD, 7), (0xDE, _), (0xDF, 0...3): bytes = 2
        case (0xDB, 5), (0xDB, 7), (0xDF, 4), (0xDF, 6): bytes = 10
        case (0xDC, _), (0xDD, _), (0xDF, _): bytes = 8
        default: bytes = 4
        }
        let narrow = chance.percent(15) != !isWide
        guard let m = memory(bytes: bytes, narrow: narrow, aligned: false) else { return nil }
        // Images are many accesses; the order of alignment and page faults among them is the maker's.
        item.isImage = bytes >= 14
        if item.isImage && guest.eflags & EFlags.ac != 0 { return nil }
        if narrow == isWide { item.code.append(0x67) }
        if m.prefix != 0 { item.code.append(m.prefix) }
        item.modrm = m.modrm | UInt8(reg << 3)
        item.code.append(opcode)
        item.code.append(item.modrm)
        item.code.append(m.rest)
        if reg == 6 && (opcode == 0xD9 || opcode == 0xDD) {
            item.isLast = true
            item.unknown = X87Rules.notCompared(imageAt: m.place, wide: sized)
        }
        // A random control word would soon unmask everything.
        if opcode == 0xD9 && reg == 5 && peek(m.place, 1) & 0x3F != 0x3F && !chance.percent(20) { return nil }
        return item
    }

    // MARK: Everything else

    private func general(_ index: Int) -> Item? {
        let form = forms[index]
        let mnemonic = form.row.mnemonic
        switch mnemonic {
        case .jcc, .loop, .loope, .loopne, .jcxz: return conditional(index)
        case .jmp, .call: return form.row.operands.0 == .ev ? indirect(index) : direct(index)
        case .ret, .retf, .iret, .jmpf, .callf: return far(index)
        case .movs, .cmps, .stos, .lods, .scas: return string(index)
        case .popf:
            if let fix = stackFix() { return fix }
            let wide = chance.percent(70)
            var flags = chance.u32() & 0x003F_FFFF & ~0x4_4100
            if chance.percent(4) { flags |= 0x4000 }
            if chance.percent(4) { flags |= 0x4_0000 }
            var item = Item()
            item.form = index
            item.mnemonic = .popf
            item.code = Encoding(wide == isWide ? [0x9D] : [0x66, 0x9D])
            return sequence([push(flags, wide: wide), item])
        case .popSeg:
            if let fix = stackFix() { return fix }
            let wide = chance.percent(70)
            var item = Item()
            item.form = index
            item.mnemonic = .popSeg
            item.code = Encoding(wide == isWide ? [form.opcode] : [0x66, form.opcode])
            return sequence([push(someSelector(), wide: wide), item])
        case .movSeg:
            let register = chance.below(8)
            let segment = chance.percent(4) ? [1, 6, 7][chance.below(3)] : [0, 2, 3, 3, 0, 3][chance.below(6)]
            if register == 4 { return nil }
            var item = Item()
            item.form = index
            item.mnemonic = .movSeg
            item.code = Encoding([0x8E, UInt8(0xC0 | segment << 3 | register)])
            return sequence([load(register, someSelector() | chance.u32() & 0xFFFF_0000), item])
        case .popa, .pusha:
            // AMD's processors have loaded or stored the first registers when a later one faults; ours none.
            if let fix = stackFix(always: true) { return fix }
        case .push, .pop, .pushf, .pushSeg, .enter, .leave:
            if let fix = stackFix() { return fix }
            if mnemonic == .leave || mnemonic == .enter, chance.percent(90) {
                let at = dataPlace(Seg.ss, stackIsWide ? register(5) : register(5) & 0xFFFF)
                if at == nil || at.unsafelyUnwrapped < 256 { return load(5, someStackPointer()) }
            }
        case .xlat:
            let at = register(3) &+ register(0) & 0xFF
            if dataPlace(Seg.ds, isWide ? at : at & 0xFFFF) == nil && !chance.percent(3) {
                guard let start = window(Seg.ds, narrow: !isWide) else { return nil }
                return load(3, start + UInt32(chance.below(Layout.dataBytes - 256)))
            }
        default: break
        }
        return encode(index)
    }

    /// Any form by its operands.
    private func encode(_ index: Int) -> Item? {
        let form = forms[index]
        let row = form.row
        let mnemonic = row.mnemonic
        var item = Item()
        item.form = index
        item.mnemonic = mnemonic
        item.condition = row.condition
        let sizeable = mnemonic != .mmx && mnemonic != .emms && mnemonic != .cmpxchg8b
        let toggled = sizeable && chance.percent(30)
        let wide = isWide != toggled
        let sizeBytes = wide ? 4 : 2
        if mnemonic == .bswap && !wide { return nil }  // undefined: SDM Vol. 2A, BSWAP
        let operands = [row.operands.0, row.operands.1, row.operands.2]
        switch operands[0] {
        case .eb, .gb, .zb, .al, .ob: item.bits = 8
        case .ew, .gw: item.bits = 16
        default: item.bits = wide ? 32 : 16
        }
        var tail = Encoding()
        var modrm: UInt8?
        var prefix: UInt8 = 0
        let narrow = chance.percent(15) != !isWide
        var place: Int?
        var lock = row.lockable && chance.percent(10)
        if row.needsModRM {
            var reg = form.digit >= 0 ? form.digit : chance.below(8)
            // Segment registers: FS and GS hold nulls on both sides; 6 and 7 do not exist.
            if mnemonic == .movFromSeg { reg = chance.percent(97) ? chance.below(6) : 6 }
            let shiftsByImmediate = mnemonic == .mmx && (0x71...0x73).contains(form.opcode)
            let onlyRegisters = [.movToCR, .movFromCR, .movToDR, .movFromDR].contains(mnemonic) || shiftsByImmediate
            let isPrefetch = mnemonic == .nop && form.opcode == 0x0D
            let onlyMemory = isPrefetch || operands.contains { $0 == .m || $0 == .mp || $0 == .mq }
            if shiftsByImmediate {
                reg = form.opcode == 0x73 ? [2, 6][chance.below(2)] : [2, 4, 6][chance.below(3)]
            }
            // In register form: EVEX, VEX, and the later instructions of 0F 01.
            let encodesMode = [.bound, .lds, .les, .lgdt, .lidt, .invlpg].contains(mnemonic)
            let useRegister = onlyRegisters || (onlyMemory ? !encodesMode && mnemonic != .nop && chance.percent(2) : chance.percent(55))
            if useRegister {
                let rm = chance.below(8)
                modrm = UInt8(0xC0 | reg << 3 | rm)
                if lock && !chance.percent(5) { lock = false }
                if [.lar, .lsl, .verr, .verw].contains(mnemonic) && !isKnown(register(rm)) { return nil }
            } else if mnemonic == .lea || mnemonic == .nop {
                // The address is only computed.
                guard let m = memory(bytes: 1, narrow: narrow && hasLow, aligned: false) else { return nil }
                modrm = m.modrm | UInt8(reg << 3)
                tail = m.rest
                prefix = m.prefix
                if narrow && !hasLow { return nil }
            } else {
                let bytes: Int
                switch operands.first(where: { [.eb, .ew, .ev, .ed, .m, .mp, .mq, .qq].contains($0) }) {
                case .eb: bytes = 1
                case .ew: bytes = 2
                case .ed: bytes = 4
                case .m: bytes = 2 * sizeBytes
                case .mp: bytes = sizeBytes + 2
                case .mq, .qq: bytes = 8
                default: bytes = mnemonic == .movFromSeg ? 2 : sizeBytes
                }
                var shift = 0
                if [.bt, .bts, .btr, .btc].contains(mnemonic) && form.digit < 0 {
                    let offset = wide ? Int(Int32(bitPattern: register(reg))) : Int(Int16(truncatingIfNeeded: register(reg)))
                    shift = wide ? (offset >> 5) * 4 : (offset >> 4) * 2
                }
                // A locked access that crosses a cache line may be trapped or slowed by the host's kernel.
                // ARPL: AMD's processors write only what they change, so a read-only operand need not fault.
                let aligned = lock || mnemonic == .arpl || mnemonic == .xchg || mnemonic == .cmpxchg8b
                guard let m = memory(bytes: bytes, narrow: narrow, aligned: aligned, shift: shift) else { return nil }
                modrm = m.modrm | UInt8(reg << 3)
                tail = m.rest
                prefix = m.prefix
                place = m.place
                if mnemonic == .arpl, prefix == 0x2E || hasCodeSegments { return nil }
                if [.lar, .lsl, .verr, .verw].contains(mnemonic) && !isKnown(peek(m.place, 2)) { return nil }
                if mnemonic == .lds || mnemonic == .les || mnemonic == .lss {
                    let selector = peek(m.place + sizeBytes, 2)
                    if !isKnown(selector) || selector != Layout.flat && !chance.percent(10) { return nil }
                }
            }
        } else {
            lock = lock && chance.percent(5)
        }
        item.count = shiftCount(operands)
        item.usesCL = operands.contains(.cl)
        for operand in operands {
            switch operand {
            case .ib:
                var value = mnemonic == .int ? UInt32(chance.below(0x80)) : chance.value()
                if mnemonic == .aam && chance.percent(70) { value = 10 }
                if mnemonic == .enter { value = chance.percent(60) ? 0 : UInt32(chance.below(40)) }
                item.count = Int(value & 0xFF)
                if item.count & 31 > item.bits && (mnemonic == .shld || mnemonic == .shrd) { return nil }
                tail.append(value, 1)
            case .ibs, .jb: tail.append(chance.value(), 1)
            case .iw: tail.append(mnemonic == .enter ? UInt32(chance.below(chance.percent(95) ? 64 : 0x1_0000)) : chance.value(), 2)
            case .iz, .iv: tail.append(chance.value(), sizeBytes)
            case .ob, .ov:
                guard let start = window(Seg.ds, narrow: narrow) else { return nil }
                let at = self.place(4, aligned: false)
                tail.append(start &+ UInt32(truncatingIfNeeded: at), narrow ? 2 : 4)
            default: break
            }
        }
        let divides = mnemonic == .div || mnemonic == .idiv
        if divides, overflows(item.bits, modrm ?? 0, place, signed: mnemonic == .idiv), !chance.percent(4) { return nil }
        if mnemonic == .bound && !chance.percent(20) { return nil }
        // Linux answers INT 0x80; the vectors above 0x7F are left alone.
        var prefixes: [UInt8] = []
        if prefix != 0 { prefixes.append(prefix) }
        if toggled { prefixes.append(0x66) }
        if narrow == isWide { prefixes.append(0x67) }
        // AMD's processors accept LOCK VERW, and LOCK MOV CR0 is their MOV CR8.
        if lock || chance.below(500) == 0 && sizeable && ![.verw, .verr, .movToCR, .movFromCR].contains(mnemonic) { prefixes.append(0xF0) }
        while !prefixes.isEmpty { item.code.append(prefixes.remove(at: chance.below(prefixes.count))) }
        if form.twoByte { item.code.append(0x0F) }
        item.code.append(form.opcode)
        if let modrm {
            item.modrm = modrm
            item.code.append(modrm)
        }
        item.code.append(tail)
        return item.code.count <= 15 ? item : nil
    }

    private func shiftCount(_ operands: [Operand]) -> Int {
        if operands.contains(.cl) { return Int(register(1) & 0xFF) }
        return 1
    }

    /// Most divisions of random numbers are #DE; those are thinned out.
    private func overflows(_ bits: Int, _ modrm: UInt8, _ place: Int?, signed: Bool) -> Bool {
        let rm = Int(modrm & 7)
        let size = bits / 8
        let mask: UInt32 = bits == 32 ? .max : (1 << UInt32(bits)) - 1
        var divisor: UInt32
        if modrm >= 0xC0 {
            divisor = bits == 8 && rm >= 4 ? register(rm - 4) >> 8 : register(rm)
        } else {
            divisor = peek(place ?? 0, size)
        }
        divisor &= mask
        if divisor == 0 { return true }
        let high = bits == 8 ? register(0) >> 8 & 0xFF : register(2) & mask
        let low = bits == 8 ? register(0) & 0xFF : register(0) & mask
        let dividend = UInt64(high) << UInt64(bits) | UInt64(low)
        if !signed { return high >= divisor }
        let shift = UInt64(64 - 2 * bits)
        let value = Int64(bitPattern: dividend << shift) >> Int64(shift)
        let by = Int64(Int32(bitPattern: divisor << UInt32(32 - bits)) >> Int32(32 - bits))
        let (quotient, overflow) = value.dividedReportingOverflow(by: by)
        return overflow || quotient < -(1 << Int64(bits - 1)) || quotient >= 1 << Int64(bits - 1)
    }

    // MARK: Strings

    private func string(_ index: Int) -> Item? {
        let form = forms[index]
        var item = Item()
        item.form = index
        item.mnemonic = form.row.mnemonic
        let toggled = chance.percent(30)
        let size = form.opcode & 1 == 0 ? 1 : isWide != toggled ? 4 : 2
        item.bits = size * 8
        let narrow = chance.percent(15) != !isWide
        if narrow && !hasLow && guest.selector(Seg.ds) != Layout.data16 { return nil }
        let repeats = chance.percent(60)
        item.repeats = repeats
        if repeats {
            let count = narrow ? register(1) & 0xFFFF : register(1)
            if count > 64 {
                let few = UInt32(chance.below(chance.percent(80) ? 12 : 64))
                return load(1, few | (narrow ? chance.u32() & 0xFFFF_0000 : 0))
            }
            item.count = Int(count)
        }
        // What the index registers walk over.
        let length = max(1, item.count) * size
        let down = guest.eflags & EFlags.df != 0
        let uses: [(Int, Int)]
        switch item.mnemonic {
        case .movs, .cmps: uses = [(6, Seg.ds), (7, Seg.es)]
        case .lods: uses = [(6, Seg.ds)]
        default: uses = [(7, Seg.es)]
        }
        // With two operands that fault, unmapped or misaligned, the makers differ in which does.
        let outside = uses.filter { register, segment in
            guard let at = dataPlace(segment, narrow ? self.register(register) & 0xFFFF : self.register(register)) else { return true }
            return down ? at < length : at + length > Layout.dataBytes
        }
        for (register, segment) in uses {
            let value = narrow ? self.register(register) & 0xFFFF : self.register(register)
            if let at = dataPlace(segment, value), down ? at >= length : at + length <= Layout.dataBytes { continue }
            if outside.count == 1 && guest.eflags & EFlags.ac == 0 && chance.percent(4) { continue }
            guard let start = window(segment, narrow: narrow) else { return nil }
            let place: Int
            if chance.percent(4) {
                // The string runs over an end.
                place = down ? chance.below(length) : Layout.dataBytes - 1 - chance.below(length)
            } else {
                place = 512 + chance.below(Layout.dataBytes - 1024) & ~(chance.percent(50) ? 3 : 0)
            }
            return load(register, (start + UInt32(place)) | (narrow ? chance.u32() & 0xFFFF_0000 : 0))
        }
        let override = chance.percent(8) && item.mnemonic != .stos && item.mnemonic != .scas
        if item.mnemonic == .movs, repeats {
            // Fast strings compare linear addresses, so they miss an overlap through two windows of the same bytes; and an AMD EPYC
            // (Zen 4) that was measured misses it with 16-bit addresses too when the upper half of EDI is not zero.
            let apart = Int(self.register(6) & 0xFFFF) - Int(self.register(7) & 0xFFFF)
            let isPlain = !narrow && !override && guest.selector(Seg.ds) == guest.selector(Seg.es)
                && self.register(6) >> 16 == self.register(7) >> 16
            if apart != 0, abs(apart) < length, !isPlain { return nil }
        }
        var prefixes: [UInt8] = []
        if toggled { prefixes.append(0x66) }
        if narrow == isWide { prefixes.append(0x67) }
        if repeats { prefixes.append(chance.percent(50) ? 0xF3 : 0xF2) }
        if override { prefixes.append([0x26, 0x36, 0x3E][chance.below(3)]) }
        while !prefixes.isEmpty { item.code.append(prefixes.remove(at: chance.below(prefixes.count))) }
        item.code.append(form.opcode)
        return item
    }

    // MARK: Branches

    private func conditional(_ index: Int) -> Item? {
        guard freePieces > 4 else { return nil }
        let form = forms[index]
        let mnemonic = form.row.mnemonic
        var item = Item()
        item.form = index
        item.mnemonic = mnemonic
        item.condition = form.row.condition
        let byte = form.row.operands.0 == .jb
        // A 16-bit operand size cuts EIP to 16 bits.
        let toggled = (hasLow || !isWide) && chance.percent(10)
        if toggled { item.code.append(0x66) }
        let wide = isWide != toggled
        if mnemonic != .jcc && chance.percent(20) { item.code.append(0x67) }
        if form.twoByte { item.code.append(0x0F) }
        item.code.append(form.opcode)
        let size = byte ? 1 : wide ? 4 : 2
        let start = Int(guest.eip & 0xFFF)
        let next = start + item.code.count + size
        var target: Int
        if byte {
            // A few bytes ahead, in this piece.
            target = next + chance.below(20)
            if target % Layout.pieceBytes + 30 > Layout.pieceBytes || target / Layout.pieceBytes != start / Layout.pieceBytes {
                guard start / Layout.pieceBytes == next / Layout.pieceBytes else { return nil }
                target = next
            }
        } else {
            target = takePiece()
        }
        item.code.append(UInt32(bitPattern: Int32(target - next)), size)
        item.isRelative = true
        return item
    }

    private func direct(_ index: Int) -> Item? {
        guard freePieces > 4 else { return nil }
        let form = forms[index]
        var item = Item()
        item.form = index
        item.mnemonic = form.row.mnemonic
        item.isRelative = true
        if item.mnemonic == .call, let fix = stackFix() { return fix }
        let toggled = (hasLow || !isWide) && chance.percent(15)
        let opcode: [UInt8] = toggled ? [0x66, form.opcode] : [form.opcode]
        let start = Int(guest.eip & 0xFFF)
        if form.row.operands.0 == .jb {
            let next = start + opcode.count + 1
            guard next % Layout.pieceBytes + 50 < Layout.pieceBytes else { return nil }
            item.code = Encoding(opcode)
            item.code.append(UInt8(chance.below(20)))
            return item
        }
        item.code = relative(opcode, guest.eip, takePiece(), isWide != toggled ? 4 : 2)
        return item
    }

    /// A register or a word of memory gets the target first.
    private func indirect(_ index: Int) -> Item? {
        guard freePieces > 6 else { return nil }
        let form = forms[index]
        var item = Item()
        item.form = index
        item.mnemonic = form.row.mnemonic
        if item.mnemonic == .call, let fix = stackFix() { return fix }
        let toggled = (hasLow || !isWide) && chance.percent(15)
        let wide = isWide != toggled
        let target = eip(takePiece(), wide: wide) | (wide ? 0 : chance.u32() & 0xFFFF_0000)
        if toggled { item.code.append(0x66) }
        if chance.percent(60) {
            let register = [0, 1, 2, 3, 5, 6, 7][chance.below(7)]
            item.code.append(0xFF)
            item.code.append(UInt8(0xC0 | form.digit << 3 | register))
            return sequence([load(register, target), item])
        }
        // By an absolute address: mov dword [place], target; call or jmp [place].
        guard let start = window(Seg.ds, narrow: !isWide) else { return nil }
        let address = start + UInt32(chance.below(Layout.dataBytes / 4 - 2) * 4)
        var store = Item()
        store.code = Encoding(isWide ? [0xC7, 0x05] : [0x66, 0xC7, 0x06])
        store.code.append(address, isWide ? 4 : 2)
        store.code.append(target, 4)
        item.code.append(0xFF)
        item.code.append(UInt8(form.digit << 3 | (isWide ? 5 : 6)))
        item.code.append(address, isWide ? 4 : 2)
        return sequence([store, item])
    }

    /// RET and the far transfers between code segments of ring 3: what they take from the stack is pushed first.
    private func far(_ index: Int) -> Item? {
        guard freePieces > 6 else { return nil }
        let form = forms[index]
        var item = Item()
        item.form = index
        item.mnemonic = form.row.mnemonic
        let isNear = item.mnemonic == .ret
        // Which word of a far return's frame faults first is the maker's.
        if let fix = stackFix(always: !isNear) { return fix }
        // To the other code segment at times; 16 bits of EIP reach it only in the low window.
        let to16 = isNear ? !isWide : has16 && hasLow && chance.percent(isWide ? 15 : 50)
        let toggled = chance.percent(15)
        let wide = isWide != toggled
        if !wide && isWide && !to16 && !hasLow { return nil }
        if !wide && !isWide && !to16 && !hasLow { return nil }
        let offset = Layout.code + UInt32(takePiece())
        let target = to16 || !wide ? offset : Layout.high + offset
        let selector = UInt32(to16 ? Layout.code16 : Layout.code32)
        if toggled { item.code.append(0x66) }
        item.code.append(form.opcode)
        switch item.mnemonic {
        case .ret, .retf:
            if form.row.operands.0 == .iw { item.code.append(UInt32(chance.below(chance.percent(95) ? 32 : 0x1_0000)), 2) }
            let pushes = isNear ? [push(target, wide: wide)] : [push(selector, wide: wide), push(target, wide: wide)]
            return sequence(pushes + [item])
        case .iret:
            // A return to the previous task for us; long mode has none and raises #GP(0).
            if guest.eflags & EFlags.nt != 0 { return nil }
            let flags = chance.u32() & 0x003F_FFFF & ~0x6_4100  // no TF, NT, VM, AC
            return sequence([push(flags, wide: wide), push(selector, wide: wide), push(target, wide: wide), item])
        default:
            if form.row.operands.0 == .ap {
                item.code.append(target, wide ? 4 : 2)
                item.code.append(selector, 2)
                return item
            }
            // Through memory: the pointer is written first.
            guard let start = window(Seg.ds, narrow: !isWide) else { return nil }
            let address = start + UInt32(chance.below(Layout.dataBytes / 4 - 4) * 4)
            var stores: [Item] = []
            for (at, value) in [(address, target), (address + (wide ? 4 : 2), selector)] {
                var store = Item()
                store.code = Encoding(isWide ? [0xC7, 0x05] : [0x66, 0xC7, 0x06])
                store.code.append(at, isWide ? 4 : 2)
                store.code.append(value, 4)
                stores.append(store)
            }
            item.code.append(UInt8(form.digit << 3 | (isWide ? 5 : 6)))
            item.code.append(address, isWide ? 4 : 2)
            return sequence(stores + [item])
        }
    }
}
