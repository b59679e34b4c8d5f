import Hardware
import Primitives

/// The partitions of a disk.
///
/// Source: IBM *PC/AT Technical Reference* and what DOS made of it for the table in the first sector and the chain of extended partitions;
/// *UEFI Specification* 2.10, section 5 for GPT.
///
/// Not implemented: BSD labels, LVM, RAID; GPT's second table.
struct PartitionTable: Sendable {
    struct Partition: Equatable, Sendable {
        /// 1 is the first; 0: the whole disk.
        var number: Int
        var start: UInt64
        var bytes: UInt64
    }
    private static let mostLogical = 64, mostGPT = 256

    private(set) var partitions: [Partition] = []

    init(_ disk: DiskView) {
        guard let sector = disk.read(0, 512), sector[510] == 0x55, sector[511] == 0xAA else { return }
        for index in 0..<4 {
            let entry = sector.part(446 + 16 * index, 16)
            let kind = entry[4], first = entry.little(8), count = entry.little(12)
            if kind == 0xEE, let found = PartitionTable.gpt(disk) {
                partitions = found
                return
            }
            guard kind != 0, count > 0 else { continue }
            if [0x05, 0x0F, 0x85].contains(kind) {
                addLogical(disk, first)
            } else {
                add(Partition(number: index + 1, start: first * 512, bytes: count * 512), disk)
            }
        }
        partitions.sort { $0.number < $1.number }
    }

    private mutating func add(_ partition: Partition, _ disk: DiskView) {
        guard partition.start > 0, partition.start < disk.bytes else { return }
        partitions.append(partition)
    }

    /// Each link of the chain has one partition and the next link.
    private mutating func addLogical(_ disk: DiskView, _ first: UInt64) {
        var link = first, number = 5
        var seen: Set<UInt64> = []
        while number < 5 + PartitionTable.mostLogical, seen.insert(link).inserted {
            guard let sector = disk.read(link * 512, 512), sector[510] == 0x55, sector[511] == 0xAA else { return }
            let entry = sector.part(446, 16), next = sector.part(462, 16)
            if entry[4] != 0, entry.little(12) > 0 {
                add(Partition(number: number, start: (link + entry.little(8)) * 512, bytes: entry.little(12) * 512), disk)
                number += 1
            }
            guard [0x05, 0x0F, 0x85].contains(next[4]) else { return }
            link = first + next.little(8)
        }
    }

    private static func gpt(_ disk: DiskView) -> [Partition]? {
        guard let head = disk.read(512, 512), head.starts(with: Array("EFI PART".utf8)) else { return nil }
        let headBytes = Int(head.little(12))
        guard (92...512).contains(headBytes) else { return nil }
        var summed = head.part(0, headBytes)
        summed.putLittle(16, 0)
        guard UInt64(PNG.crc32(summed)) == head.little(16) else { return nil }
        let place = head.little(72, 8), count = Int(min(head.little(80), UInt64(mostGPT))), size = Int(head.little(84))
        guard (128...4096).contains(size), size % 8 == 0, place < disk.bytes / 512 else { return nil }
        var found: [Partition] = []
        for index in 0..<count {
            guard let entry = disk.read(place * 512 + UInt64(index * size), size) else { break }
            let first = entry.little(32, 8), last = entry.little(40, 8)
            guard !entry.part(0, 16).isZero, first > 0, last >= first, last < disk.bytes / 512 else { continue }
            found.append(Partition(number: index + 1, start: first * 512, bytes: (last - first + 1) * 512))
        }
        return found
    }
}
