import Glibc
import Hardware

/// Pages of memory that are not the same in two state files.
public struct MemoryDifference: Encodable, Equatable, Sendable {
    public struct Range: Encodable, Equatable, Sendable {
        /// Physical, of RAM; of firmware and video memory where `isRAM` is false: from the start of that.
        public var address: UInt64
        public var pages: UInt64
        public var isRAM: Bool
    }
    /// Bytes of a page that differ.
    public struct Page: Encodable, Equatable, Sendable {
        public var address: UInt64
        public var isRAM: Bool
        /// Bytes that differ, in all.
        public var count: Int
        /// The first of them in lines: `00012340  00 01 02 03 -> 04 05 06 07`.
        public var lines: [String]
    }

    public var pagesDiffering: UInt64 = 0
    /// Pages that are not zeros.
    public var pagesBefore: UInt64 = 0
    public var pagesAfter: UInt64 = 0
    public var ranges: [Range] = []
    public var pages: [Page] = []

    static let mostRanges = 100_000
    private static let linesPerPage = 8

    /// - Parameter wanted: pages whose bytes are wanted, at most.
    /// - Throws: `.badInput` for damaged files, `.failed`.
    static func compare(
        _ before: String, _ after: String, wanted: Int, progress: DiskCopy.Progress
    ) throws(MachineError) -> MemoryDifference {
        let (a, b) = (try StateReader(before), try StateReader(after))
        let info = try StateInfo.read(a), other = try StateInfo.read(b)
        // The numbers come from files: nothing is believed that no machine could have.
        guard info.arenaBytes <= 80 << 30, other.arenaBytes <= 80 << 30 else { throw a.damaged("it says that its machine has impossibly much memory") }
        let scratch: HostFile
        do {
            scratch = try HostFile(scratchBytes: max(info.arenaBytes, other.arenaBytes))
        } catch {
            throw .failed(error.description)
        }
        var work = Work(scratch: scratch, ramPages: info.ramBytes / 4096, limit: max(info.arenaBytes, other.arenaBytes) / 4096, wanted: wanted)
        try work.keep(a, progress)
        try work.compare(b, progress)
        work.finish()
        return work.result
    }

    private struct Work {
        let scratch: HostFile
        let ramPages: UInt64
        let limit: UInt64
        let wanted: Int
        var result = MemoryDifference()
        private var inA: [UInt64]
        private var differ: [UInt64]

        init(scratch: HostFile, ramPages: UInt64, limit: UInt64, wanted: Int) {
            (self.scratch, self.ramPages, self.limit, self.wanted) = (scratch, ramPages, limit, wanted)
            inA = [UInt64](repeating: 0, count: Int(limit / 64 + 1))
            differ = inA
        }

        private func each(
            _ reader: StateReader, _ progress: DiskCopy.Progress, _ body: (Int, UnsafeRawBufferPointer) -> Bool
        ) throws(MachineError) {
            while let (kind, bytes) = try reader.next() {
                guard try reader.eachPage(kind, bytes, body) else { continue }
                guard progress(0, 0) else { throw DiskDifference.cancelled }
            }
        }

        mutating func keep(_ reader: StateReader, _ progress: DiskCopy.Progress) throws(MachineError) {
            var marks = inA, count: UInt64 = 0
            try each(reader, progress) { page, bytes in
                guard page >= 0, page < limit, scratch.write(UInt64(page) << 12, from: bytes) else { return false }
                marks[page / 64] |= 1 << UInt64(page % 64)
                count += 1
                return true
            }
            (inA, result.pagesBefore) = (marks, count)
        }

        mutating func compare(_ reader: StateReader, _ progress: DiskCopy.Progress) throws(MachineError) {
            var (left, different, count) = (inA, differ, UInt64(0)), excerpts: [Page] = []
            let old = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 4096)
            defer { old.deallocate() }
            try each(reader, progress) { page, bytes in
                guard page >= 0, page < limit, scratch.read(UInt64(page) << 12, into: old, padded: true) else { return false }
                count += 1
                left[page / 64] &= ~(1 << UInt64(page % 64))
                guard let x = old.baseAddress, let y = bytes.baseAddress, memcmp(x, y, 4096) != 0 else { return true }
                different[page / 64] |= 1 << UInt64(page % 64)
                if excerpts.count < wanted { excerpts.append(excerpt(page, UnsafeRawBufferPointer(old), bytes)) }
                return true
            }
            // What is only in the first file is zeros now.
            let zeros = [UInt8](repeating: 0, count: 4096)
            for (index, word) in left.enumerated() where word != 0 {
                different[index] |= word
                for bit in 0..<64 where word >> UInt64(bit) & 1 != 0 && excerpts.count < wanted {
                    guard scratch.read(UInt64(index * 64 + bit) << 12, into: old, padded: true) else { continue }
                    zeros.withUnsafeBytes { excerpts.append(excerpt(index * 64 + bit, UnsafeRawBufferPointer(old), $0)) }
                }
            }
            (differ, result.pagesAfter) = (different, count)
            result.pages = excerpts.sorted { ($0.isRAM ? 0 : 1, $0.address) < ($1.isRAM ? 0 : 1, $1.address) }
        }

        mutating func finish() {
            for (index, word) in differ.enumerated() where word != 0 {
                for bit in 0..<64 where word >> UInt64(bit) & 1 != 0 { add(UInt64(index * 64 + bit)) }
            }
        }

        private func place(_ page: UInt64) -> (address: UInt64, isRAM: Bool) {
            guard page < ramPages else { return ((page - ramPages) << 12, false) }
            // What has no room below the hole for devices lies above 4 GiB.
            let low = UInt64(PhysicalLayout.lowRAMBytes(65536)) >> 12
            return ((page < low ? page : page - low + (1 << 20)) << 12, true)
        }

        private mutating func add(_ page: UInt64) {
            result.pagesDiffering += 1
            let (address, isRAM) = place(page)
            if let last = result.ranges.last, last.isRAM == isRAM, last.address + last.pages << 12 == address {
                result.ranges[result.ranges.count - 1].pages += 1
            } else if result.ranges.count < MemoryDifference.mostRanges {
                result.ranges.append(Range(address: address, pages: 1, isRAM: isRAM))
            }
        }

        private func excerpt(_ page: Int, _ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Page {
            let (address, isRAM) = place(UInt64(page))
            var lines: [String] = []
            func hex(_ bytes: UnsafeRawBufferPointer, _ at: Int) -> String {
                bytes[at..<at + 8].map { ($0 < 16 ? "0" : "") + String($0, radix: 16, uppercase: true) }.joined(separator: " ")
            }
            for at in stride(from: 0, to: 4096, by: 8) where lines.count < MemoryDifference.linesPerPage {
                guard (at..<at + 8).contains(where: { a[$0] != b[$0] }) else { continue }
                let place = String(address + UInt64(at), radix: 16, uppercase: true)
                lines.append(String(repeating: "0", count: max(0, 8 - place.count)) + place + "  \(hex(a, at)) -> \(hex(b, at))")
            }
            return Page(address: address, isRAM: isRAM, count: (0..<4096).count { a[$0] != b[$0] }, lines: lines)
        }
    }
}
