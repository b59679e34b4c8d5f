import Glibc
import Primitives

/// A decoded run of instructions on one page, followed in memory by its operations.
///
/// Keyed by arena offset (`storage`), CS offset (`rip`) and mode: paging, A20 and segment changes never make it wrong, only
/// writes to its bytes do.
struct Block {
    /// CS offset of the first instruction.
    var rip: UInt64
    /// Arena offset of the first byte; -1: not in memory (executed once, from the bus).
    var storage: Int
    /// Instructions in it: the budget it needs. `Int64.max` when dead, so that no link enters it.
    var cost: Int64
    var mode: UInt32
    /// Bytes of code.
    var bytes: UInt16
    /// Operations that follow the header.
    var operations: UInt16
    /// The only instruction runs over the page's end.
    var crossesPage: Bool
    /// Of such an instruction that is translated: arena offset of the page with its end, and the bytes of it, little-endian; -1: it is decoded anew by
    /// the dispatcher. `bytes` counts those on the first page then.
    var second = -1
    var secondBytes: UInt64 = 0
    var secondCount: UInt8 = 0
    var isSingle: Bool { mode & Mode.single != 0 }
    /// Near branch targets wrap to the code size.
    var ripMask: UInt64 { mode & Mode.long != 0 ? .max : mode & Mode.big != 0 ? 0xFFFF_FFFF : 0xFFFF }
    /// The next instruction's offset: EIP is 32 bits wide whatever the code size.
    var nextMask: UInt64 { mode & Mode.long != 0 ? .max : 0xFFFF_FFFF }
    var nextInHash: UnsafeMutablePointer<Block>?
    var nextOnPage: UnsafeMutablePointer<Block>?
    /// Address of the translation for supervisor and user mode, 0: none.
    var code = ByClass<UInt>(0)
    /// First of the translated branches that are linked to it, -1: none. See `Translator.Site`.
    var incoming = ByClass<Int32>(-1)
    /// Times the dispatcher has seen it, while it is not translated.
    var heat: UInt32 = 0
    /// The interpreter is the better engine for it.
    var barred = false
    /// It writes over code, or beside it: how often it was set aside for that, and since `writesSince` retired instructions how often it did.
    var patience: UInt8 = 0
    var codeWrites: UInt8 = 0
    var writesSince: UInt64 = 0
}

typealias BlockPointer = UnsafeMutablePointer<Block>

extension UnsafeMutablePointer where Pointee == Block {
    static var headerBytes: Int { 128 }
    @inline(__always)
    var ops: OpPointer { (UnsafeRawPointer(self) + 128).assumingMemoryBound(to: Op.self) }
    @inline(__always)
    var mutableOps: UnsafeMutablePointer<Op> { (UnsafeMutableRawPointer(self) + 128).assumingMemoryBound(to: Op.self) }
}

/// What decoding depends on besides the bytes. Part of a block's key; `Core.modeChanged` computes it.
enum Mode {
    /// CS.D.
    static let big: UInt32 = 1
    /// SS.B.
    static let bigStack: UInt32 = 2
    /// Flat: base 0, limit 4 GiB, writable.
    static let flatDS: UInt32 = 4, flatES: UInt32 = 8, flatSS: UInt32 = 16
    /// CS limit is not the usual one: near branches check it.
    static let oddLimit: UInt32 = 32
    /// One instruction, never linked.
    static let single: UInt32 = 64
    /// CPL 3; only in the jump cache's keys.
    static let user: UInt32 = 128
    /// 64-bit code: CS.L in long mode. `big` and the flat bits are set then.
    static let long: UInt32 = 256
    /// CS has a base: code offsets are not linear addresses.
    static let based: UInt32 = 512
}

extension JumpEntry {
    @inline(__always)
    static func index(_ linear: UInt64) -> Int { Int(truncatingIfNeeded: (linear ^ (linear &>> 12)) & UInt64(entries - 1)) }
}

/// Decoded blocks in one bump-allocated area; when it is full everything is dropped.
final class BlockCache {
    private let area: UnsafeMutableRawPointer
    private let areaBytes: Int
    private var used = 0
    /// Heads of the hash chains.
    private let table: UnsafeMutablePointer<BlockPointer?>
    private static let tableEntries = 1 << 16
    /// First block of each arena page.
    private let pages: UnsafeMutablePointer<BlockPointer?>
    private let pageCount: Int
    /// This processor's share of `GuestMemory.codeGranules`.
    let granules: UnsafeMutablePointer<UInt64>
    /// For pages that hold decoded code, one bit for each byte of it: data beside code is written all the time.
    private let codeBytes: UnsafeMutablePointer<UnsafeMutablePointer<UInt64>?>
    /// How often decoded code of each arena page was written over, saturating.
    let writes: UnsafeMutablePointer<UInt8>
    static let restlessWrites: UInt8 = 32
    private let features: CPUFeatures
    private let memory: GuestMemory
    unowned(unsafe) var translator: Translator?
    /// Places at which the debugger stops; nil: none.
    var stops: StopMap?
    /// Longest block in operations, micro-operations included; the last page-crossing or ending operation needs room too.
    static let maximumOperations = 64
    /// A single-instruction block outside the cache: code that is not in memory.
    private let scratch: BlockPointer
    var scratchBlock: BlockPointer { scratch }
    /// Instructions over a page end: block `n` of `crossingBytes` from `crossingArea` on belongs to entry `n`.
    private let crossings: UnsafeMutablePointer<Crossing>
    private let crossingArea: UnsafeMutableRawPointer
    private static let crossingEntries = 256, crossingBytes = BlockPointer.headerBytes + 8 * 32

    /// What an instruction over a page end was decoded from. It is decoded anew when its bytes have changed, whoever changed them.
    private struct Crossing {
        var storage = -1
        var rip: UInt64 = 0
        var mode: UInt32 = 0
        /// Bytes, 0: the entry is free.
        var count = 0
        /// Little-endian, zero beyond `count`.
        var bytes: (UInt64, UInt64) = (0, 0)
    }

    /// Statistics: blocks decoded, blocks dropped by writes, whole flushes.
    private(set) var decoded: UInt64 = 0, dropped: UInt64 = 0, flushes: UInt64 = 0
    /// Writes to pages that hold decoded code.
    private(set) var codeWrites: UInt64 = 0

    init(features: CPUFeatures, memory: GuestMemory, bytes: Int = 48 << 20) {
        self.features = features
        self.memory = memory
        areaBytes = bytes
        area = UnsafeMutableRawPointer.allocateLarge(byteCount: bytes)
        table = .allocate(capacity: BlockCache.tableEntries)
        table.initialize(repeating: nil, count: BlockCache.tableEntries)
        pageCount = memory.arenaBytes / 4096
        pages = .allocate(capacity: pageCount)
        pages.initialize(repeating: nil, count: pageCount)
        granules = .allocate(capacity: pageCount)
        granules.initialize(repeating: 0, count: pageCount)
        codeBytes = .allocate(capacity: pageCount)
        codeBytes.initialize(repeating: nil, count: pageCount)
        writes = .allocate(capacity: pageCount)
        writes.initialize(repeating: 0, count: pageCount)
        scratch = UnsafeMutableRawPointer.allocate(byteCount: BlockCache.crossingBytes, alignment: 64).assumingMemoryBound(to: Block.self)
        crossings = .allocate(capacity: BlockCache.crossingEntries)
        crossings.initialize(repeating: Crossing(), count: BlockCache.crossingEntries)
        crossingArea = .allocate(byteCount: BlockCache.crossingEntries * BlockCache.crossingBytes, alignment: 64)
    }

    deinit {
        area.deallocate()
        table.deallocate()
        pages.deallocate()
        granules.deallocate()
        for page in 0..<pageCount { codeBytes[page]?.deallocate() }
        codeBytes.deallocate()
        writes.deallocate()
        UnsafeMutableRawPointer(scratch).deallocate()
        crossings.deallocate()
        crossingArea.deallocate()
    }

    @inline(__always)
    private func hash(_ storage: Int, _ rip: UInt64, _ mode: UInt32) -> Int {
        let key = UInt64(truncatingIfNeeded: storage) &* 0x9E37_79B9_7F4A_7C15 &+ (rip &<< 7) &+ UInt64(mode)
        return Int(truncatingIfNeeded: (key &>> 17) & UInt64(BlockCache.tableEntries - 1))
    }

    /// Code of this page has been rewritten again and again.
    @inline(__always)
    func isRestless(_ storage: Int) -> Bool { writes[storage >> 12] >= BlockCache.restlessWrites }

    /// Room for one more block of the largest size.
    var isFull: Bool { areaBytes - used < BlockPointer.headerBytes + (BlockCache.maximumOperations + 8) * 32 }

    /// The block there, decoded now if need be. nil: nothing could be decoded without faulting or crossing the page; the
    /// dispatcher then does it with all checks.
    func find(_ c: Core, storage: Int, rip: UInt64, mode: UInt32) -> BlockPointer? {
        let slot = hash(storage, rip, mode)
        if let block = known(slot, storage, rip, mode) { return block.pointee.crossesPage ? nil : block }
        guard !isFull else { return nil }
        let pageLeft = 4096 - (storage & 0xFFF)
        let code = UnsafeRawBufferPointer(start: memory.base + storage, count: pageLeft)
        var decoder = Decoder(code: code, rip: rip, mode: mode, features: features)
        if let stops, mode & Mode.single == 0 {
            let window = StopWindow(c, stops, storage: storage, rip: rip, mode: mode)
            if window.stops(at: 0, code) { return trap(storage: storage, rip: rip, mode: mode, slot: slot) }
            decoder.stops = window
        }
        let new = (area + used).assumingMemoryBound(to: Block.self)
        // Where code is rewritten again and again, long blocks would be decoded for nothing.
        decoder.decodeBlock(into: new.mutableOps, limit: isRestless(storage) ? 12 : BlockCache.maximumOperations)
        guard decoder.instructions > 0 else { return nil }
        register(new, decoder, storage: storage, rip: rip, mode: mode, slot: slot)
        return new
    }

    /// What was decoded there before.
    @inline(__always)
    private func known(_ slot: Int, _ storage: Int, _ rip: UInt64, _ mode: UInt32) -> BlockPointer? {
        var block = table[slot]
        while let b = block {
            if b.pointee.storage == storage && b.pointee.rip == rip && b.pointee.mode == mode { return b }
            block = b.pointee.nextInHash
        }
        return nil
    }

    /// The translatable block of an instruction over a page end.
    func knownCrossing(storage: Int, rip: UInt64, mode: UInt32) -> BlockPointer? {
        known(hash(storage, rip, mode), storage, rip, mode).flatMap { $0.pointee.crossesPage ? $0 : nil }
    }

    /// Decodes an instruction that goes on at arena offset `second`. It is looked up by `knownCrossing`, its first bytes are watched for writes, the
    /// others compared before it runs. nil: it has more than 8 bytes there, or cannot be decoded.
    func addCrossing(storage: Int, rip: UInt64, mode: UInt32, second: Int) -> BlockPointer? {
        let left = 4096 - (storage & 0xFFF)
        guard left < 15, stops == nil, !isFull, second & 0xFFF == 0, second >= 0, second <= memory.arenaBytes - 4096 else { return nil }
        var bytes = InlineArray<16, UInt8>(repeating: 0)
        for n in 0..<left { bytes[n] = memory.base.load(fromByteOffset: storage + n, as: UInt8.self) }
        for n in left..<15 { bytes[n] = memory.base.load(fromByteOffset: second + n - left, as: UInt8.self) }
        let new = (area + used).assumingMemoryBound(to: Block.self)
        let count = withUnsafeBytes(of: &bytes) { raw in
            var decoder = Decoder(code: UnsafeRawBufferPointer(rebasing: raw[0..<15]), rip: rip, mode: mode | Mode.single, features: features)
            decoder.decodeBlock(into: new.mutableOps, limit: 6)
            guard decoder.instructions == 1, decoder.position > left, decoder.position - left <= 8 else { return 0 }
            new.pointee = Block(
                rip: rip, storage: storage, cost: 1, mode: mode, bytes: UInt16(left), operations: UInt16(decoder.operations), crossesPage: true)
            return decoder.position
        }
        guard count > 0 else { return nil }
        new.pointee.second = second
        new.pointee.secondCount = UInt8(count - left)
        new.pointee.secondBytes = secondBytes(new)
        enter(new, operations: Int(new.pointee.operations), count: left, slot: hash(storage, rip, mode))
        return new
    }

    private func secondBytes(_ block: BlockPointer) -> UInt64 {
        memory.base.loadUnaligned(fromByteOffset: block.pointee.second, as: UInt64.self) &<< UInt64(64 &- 8 &* Int(block.pointee.secondCount))
    }

    /// The bytes on the second page are those that were decoded.
    func isAsDecoded(_ block: BlockPointer) -> Bool { secondBytes(block) == block.pointee.secondBytes }

    /// A block that nobody enters: its cost is more than any budget, so that the dispatcher carries the instruction out alone, and asks
    /// before that whether to stop.
    private func trap(storage: Int, rip: UInt64, mode: UInt32, slot: Int) -> BlockPointer {
        let new = (area + used).assumingMemoryBound(to: Block.self)
        new.pointee = Block(rip: rip, storage: storage, cost: .max - 1, mode: mode, bytes: 1, operations: 1, crossesPage: false)
        new.pointee.barred = true
        new.mutableOps[0] = Op(.bail)
        enter(new, operations: 1, count: 1, slot: slot)
        return new
    }

    /// A block of one instruction that runs over the end of its page. `bytes` holds it complete.
    func crossing(_ c: Core, storage: Int, rip: UInt64, mode: UInt32, bytes: UnsafeRawBufferPointer) -> BlockPointer {
        // Not registered: its second page may lead elsewhere next time. The bytes say whether it is still the same.
        let single = mode | Mode.single
        let number = crossingIndex(storage, rip)
        let entry = crossings + number
        var low: UInt64 = 0, high: UInt64 = 0
        for n in 0..<min(bytes.count, 8) { low |= UInt64(bytes[n]) &<< UInt64(8 &* n) }
        for n in 8..<max(bytes.count, 8) { high |= UInt64(bytes[n]) &<< UInt64(8 &* (n &- 8)) }
        if storage >= 0, remembersCrossing(storage: storage, rip: rip, mode: mode), entry.pointee.count <= bytes.count {
            let mask = BlockCache.mask(entry.pointee.count)
            if (low & mask.0, high & mask.1) == entry.pointee.bytes {
                return (crossingArea + number &* BlockCache.crossingBytes).assumingMemoryBound(to: Block.self)
            }
        }
        let block = storage >= 0 ? (crossingArea + number &* BlockCache.crossingBytes).assumingMemoryBound(to: Block.self) : scratch
        var decoder = Decoder(code: bytes, rip: rip, mode: single, features: features)
        decoder.decodeBlock(into: block.mutableOps, limit: 6)
        fillHeader(block, decoder, storage: storage, rip: rip, mode: single)
        block.pointee.crossesPage = true
        guard storage >= 0 else { return block }
        let count = decoder.instructions > 0 ? Int(block.pointee.bytes) : 0
        let mask = BlockCache.mask(count)
        entry.pointee = Crossing(storage: storage, rip: rip, mode: mode, count: count, bytes: (low & mask.0, high & mask.1))
        return block
    }

    /// The first `count` of 16 bytes.
    @inline(__always)
    private static func mask(_ count: Int) -> (UInt64, UInt64) {
        (count >= 8 ? .max : (1 &<< UInt64(8 &* count)) &- 1, count <= 8 ? 0 : (1 &<< UInt64(8 &* (count &- 8))) &- 1)
    }

    @inline(__always)
    private func crossingIndex(_ storage: Int, _ rip: UInt64) -> Int {
        // All of them lie at the ends of pages.
        Int(truncatingIfNeeded: (UInt64(truncatingIfNeeded: storage) &>> 12) ^ rip) & (BlockCache.crossingEntries - 1)
    }

    /// An instruction over the page end was decoded there before.
    @inline(__always)
    func remembersCrossing(storage: Int, rip: UInt64, mode: UInt32) -> Bool {
        let entry = crossings + crossingIndex(storage, rip)
        return entry.pointee.count != 0 && entry.pointee.storage == storage && entry.pointee.rip == rip && entry.pointee.mode == mode
    }

    private func fillHeader(_ new: BlockPointer, _ decoder: Decoder, storage: Int, rip: UInt64, mode: UInt32) {
        new.pointee = Block(
            rip: rip, storage: storage, cost: Int64(decoder.instructions), mode: mode, bytes: UInt16(truncatingIfNeeded: decoder.position),
            operations: UInt16(truncatingIfNeeded: decoder.operations), crossesPage: false, nextInHash: nil, nextOnPage: nil)
    }

    private func register(_ new: BlockPointer, _ decoder: Decoder, storage: Int, rip: UInt64, mode: UInt32, slot: Int) {
        fillHeader(new, decoder, storage: storage, rip: rip, mode: mode)
        enter(new, operations: decoder.operations, count: decoder.position, slot: slot)
    }

    private func enter(_ new: BlockPointer, operations: Int, count: Int, slot: Int) {
        let storage = new.pointee.storage
        used += (BlockPointer.headerBytes + operations * 32 + 63) & ~63
        decoded &+= 1
        let page = storage >> 12
        new.pointee.nextInHash = table[slot]
        table[slot] = new
        new.pointee.nextOnPage = pages[page]
        pages[page] = new
        let first = (storage & 0xFFF) >> 6
        let last = min(((storage & 0xFFF) + max(count, 1) - 1) >> 6, 63)
        var mask: UInt64 = 0
        for g in first...last { mask |= 1 &<< UInt64(g) }
        granules[page] |= mask
        if codeBytes[page] == nil {
            let bits = UnsafeMutablePointer<UInt64>.allocate(capacity: 64)
            bits.initialize(repeating: 0, count: 64)
            codeBytes[page] = bits
        }
        markBytes(page, storage & 0xFFF, Int(new.pointee.bytes))
        memory.addCode(page, mask)
    }

    private func markBytes(_ page: Int, _ start: Int, _ count: Int) {
        guard let bits = codeBytes[page] else { return }
        for byte in start..<min(start + count, 4096) { bits[byte >> 6] |= 1 &<< UInt64(byte & 63) }
    }

    /// Some decoded instruction covers one of these bytes of a page.
    private func holdsCode(_ page: Int, _ start: Int, _ count: Int) -> Bool {
        guard let bits = codeBytes[page] else { return true }
        var byte = start
        let end = min(start + count, 4096)
        while byte < end {
            let inWord = min(end - byte, 64 - (byte & 63))
            let mask: UInt64 = inWord == 64 ? .max : ((1 &<< UInt64(inWord)) &- 1) &<< UInt64(byte & 63)
            if bits[byte >> 6] & mask != 0 { return true }
            byte += inWord
        }
        return false
    }

    /// Bytes of one arena page are about to change: drops the blocks over them.
    func invalidate(_ offset: Int, _ count: Int) {
        codeWrites &+= 1
        let page = offset >> 12
        let start = offset & 0xFFF
        let last = min((start + count - 1) >> 6, 63)
        var mask: UInt64 = 0
        for g in (start >> 6)...last { mask |= 1 &<< UInt64(g) }
        guard granules[page] & mask != 0, holdsCode(page, start, count) else { return }
        codeBytes[page]?.update(repeating: 0, count: 64)
        var link: BlockPointer? = pages[page]
        var previous: BlockPointer?
        var left: UInt64 = 0
        while let block = link {
            let next = block.pointee.nextOnPage
            let from = block.pointee.storage
            let end = from + Int(block.pointee.bytes)
            if from < offset + count && offset < end {
                kill(block)
                if let previous { previous.pointee.nextOnPage = next } else { pages[page] = next }
            } else {
                for g in ((from & 0xFFF) >> 6)...min(((from & 0xFFF) + max(Int(block.pointee.bytes), 1) - 1) >> 6, 63) { left |= 1 &<< UInt64(g) }
                markBytes(page, from & 0xFFF, Int(block.pointee.bytes))
                previous = block
            }
            link = next
        }
        granules[page] = left
        memory.recountCode(page)
        if writes[page] < .max { writes[page] += 1 }
    }

    /// Drops the blocks that run over one of these places, given by the low 12 bits of addresses and by offsets in CS. Between two runs.
    func drop(places: Set<Int>, offsets: Set<UInt64>, all: Bool) {
        for page in 0..<pageCount where granules[page] != 0 {
            codeBytes[page]?.update(repeating: 0, count: 64)
            var link = pages[page], previous: BlockPointer?, left: UInt64 = 0
            while let block = link {
                let next = block.pointee.nextOnPage
                let start = block.pointee.storage & 0xFFF, count = max(Int(block.pointee.bytes), 1)
                let goes =
                    all || places.contains { $0 >= start && $0 < start + count }
                    || offsets.contains { $0 >= block.pointee.rip && $0 - block.pointee.rip < UInt64(count) }
                if goes {
                    kill(block)
                    if let previous { previous.pointee.nextOnPage = next } else { pages[page] = next }
                } else {
                    for g in (start >> 6)...min((start + count - 1) >> 6, 63) { left |= 1 &<< UInt64(g) }
                    markBytes(page, start, Int(block.pointee.bytes))
                    previous = block
                }
                link = next
            }
            granules[page] = left
            memory.recountCode(page)
        }
    }

    /// Where decoded instructions begin on an arena page, by offset in it.
    func instructionStarts(page: Int) -> Set<Int> {
        guard (0..<pageCount).contains(page) else { return [] }
        var result: Set<Int> = []
        var link = pages[page]
        while let block = link {
            for n in 0..<Int(block.pointee.operations) where block.ops[n].kind != .next && block.ops[n].kind != .bail {
                result.insert((block.pointee.storage & 0xFFF) + Int(block.ops[n].ipOffset))
            }
            link = block.pointee.nextOnPage
        }
        return result
    }

    /// A dead block may be running: each of its instructions now leaves for the dispatcher, and no link enters it.
    private func kill(_ block: BlockPointer) {
        dropped &+= 1
        translator?.drop(block)
        let slot = hash(block.pointee.storage, block.pointee.rip, block.pointee.mode)
        var link = table[slot]
        if link == block {
            table[slot] = block.pointee.nextInHash
        } else {
            while let b = link {
                if b.pointee.nextInHash == block {
                    b.pointee.nextInHash = block.pointee.nextInHash
                    break
                }
                link = b.pointee.nextInHash
            }
        }
        let ops = block.mutableOps
        var afterAddress = false
        for i in 0..<Int(block.pointee.operations) {
            let kind = ops[i].kind
            let wasAddress = kind == .segAddr || kind == .segBase || kind == .ripAddr
            // What follows an address stays: it may be the one that is storing.
            if !afterAddress { ops[i].kind = .bail }
            afterAddress = wasAddress
        }
        block.pointee.cost = .max
    }

    /// Translations are gone, decoded blocks stay.
    func forgetCode() {
        for slot in 0..<BlockCache.tableEntries {
            var link = table[slot]
            while let block = link {
                block.pointee.code = ByClass(0)
                block.pointee.incoming = ByClass(-1)
                link = block.pointee.nextInHash
            }
        }
    }

    /// Drops everything. Only between blocks.
    func flush() {
        flushes &+= 1
        used = 0
        table.update(repeating: nil, count: BlockCache.tableEntries)
        pages.update(repeating: nil, count: pageCount)
        for page in 0..<pageCount where granules[page] != 0 {
            granules[page] = 0
            memory.recountCode(page)
            codeBytes[page]?.update(repeating: 0, count: 64)
        }
    }
}

extension UnsafeMutableRawPointer {
    /// On large pages where the host has them: its own TLB is the bottleneck of whoever looks into a large table.
    static func allocateLarge(byteCount: Int) -> UnsafeMutableRawPointer {
        let large = 2 << 20
        let bytes = (byteCount + large - 1) & ~(large - 1)
        let pointer = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: large)
        madvise(pointer, bytes, 14)  // MADV_HUGEPAGE
        return pointer
    }
}
