package outcomes

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"sharedcloud.io/function-operator/apiserver/outcomes/postgrestest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

// onEveryEngine are the tests of what a store is. They run on SQLite by their own names and on PostgreSQL by this table.
var onEveryEngine = map[string]func(*testing.T){
	"TestAnUploadCountsItsBytesItsPiecesAndItself":                        TestAnUploadCountsItsBytesItsPiecesAndItself,
	"TestUploadsBelongToTheUIDOfTheirNamespace":                           TestUploadsBelongToTheUIDOfTheirNamespace,
	"TestUploadsFromBeforeNamespacesWereToldApartAreClaimedOnce":          TestUploadsFromBeforeNamespacesWereToldApartAreClaimedOnce,
	"TestTheMigrationCountsWhatIsThere":                                   TestTheMigrationCountsWhatIsThere,
	"TestARunsRowComesBackAsItWasWritten":                                 TestARunsRowComesBackAsItWasWritten,
	"TestAWorkersRowComesBackAsItWasWritten":                              TestAWorkersRowComesBackAsItWasWritten,
	"TestOutcomesComeBackAsTheyWereWrittenInOrder":                        TestOutcomesComeBackAsTheyWereWrittenInOrder,
	"TestOutcomesBeforeAnIndexComeInPagesOfLimitedSize":                   TestOutcomesBeforeAnIndexComeInPagesOfLimitedSize,
	"TestOutcomesOfAllKindsAreAddedAtOnceInAnyNumber":                     TestOutcomesOfAllKindsAreAddedAtOnceInAnyNumber,
	"TestReadingGoesThroughPagesOfAnySize":                                TestReadingGoesThroughPagesOfAnySize,
	"TestATransactionThatFailsLeavesNothingAndTheOthersOfItsGroupAreKept": TestATransactionThatFailsLeavesNothingAndTheOthersOfItsGroupAreKept,
	"TestACallerWhoGoesBeforeItsTurnChangesNothing":                       TestACallerWhoGoesBeforeItsTurnChangesNothing,
	"TestAViewCannotWrite":                                                TestAViewCannotWrite,
	"TestDeleteSomeDeletesARunPieceByPieceAndNoOther":                     TestDeleteSomeDeletesARunPieceByPieceAndNoOther,
	"TestReadingSaysWhoDidItAndKeepsToItsLimitOverPages":                  TestReadingSaysWhoDidItAndKeepsToItsLimitOverPages,
	"TestResultsAreDeletedPieceByPieceAndAllElseStays":                    TestResultsAreDeletedPieceByPieceAndAllElseStays,
	"TestParametersAreBoundByTheirNumbers":                                TestParametersAreBoundByTheirNumbers,
	"TestEveryAcknowledgedOutcomeSurvivesAKilledServer":                   TestEveryAcknowledgedOutcomeSurvivesAKilledServer,
	"TestABirthIsRecordedOnceAndNoWriteOfTheExchangeUndoesIt":             TestABirthIsRecordedOnceAndNoWriteOfTheExchangeUndoesIt,
	"TestAFencedOrEmptiedWorkerExecutesNothing":                           TestAFencedOrEmptiedWorkerExecutesNothing,
	"TestAnUploadComesBackAsItWasWrittenAndGoesPieceByPiece":              TestAnUploadComesBackAsItWasWrittenAndGoesPieceByPiece,
	"TestAnUploadThatComesInSeveralCallsIsFoundByItsName":                 TestAnUploadThatComesInSeveralCallsIsFoundByItsName,
	"TestWhatIsBeingPrintedComesBackForWhatIsExecuted":                    TestWhatIsBeingPrintedComesBackForWhatIsExecuted,
	"TestSelectionsOfOutcomes":                                            TestSelectionsOfOutcomes,
	"TestTextsOfOthersAreKeptAsFarAsEveryEngineTakesThem":                 TestTextsOfOthersAreKeptAsFarAsEveryEngineTakesThem,
	"TestAReaderAnswersAboutOneRun":                                       TestAReaderAnswersAboutOneRun,
}

func TestOnPostgreSQL(t *testing.T) { postgrestest.RunOnPostgreSQL(t, onEveryEngine) }

// A test that opens a store of any engine must be in the table.
func TestEveryTestOfAStoreRunsOnEveryEngine(t *testing.T) {
	postgrestest.CheckTable(t, onEveryEngine, "newStore")
}

// openedStore is a store of any engine.
type openedStore interface {
	Store
	Close() error
}

// newStore opens an empty store of the engine that the test is for.
func newStore(t testing.TB) openedStore {
	t.Helper()
	if postgrestest.OnPostgreSQL(t) {
		return newPostgres(t)
	}
	return newSQLite(t)
}

func newPostgres(t testing.TB) *Postgres {
	t.Helper()
	return openPostgres(t, postgrestest.URL(t))
}

func openPostgres(t testing.TB, url string) *Postgres {
	t.Helper()
	store := NewPostgres(func() (string, error) { return url, nil })
	if err := store.Open(ctx); err != nil {
		t.Fatalf("opening the store: %v", err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("closing the store: %v", err)
		}
	})
	return store
}

// openAny opens the store at a path or at a URL.
func openAny(t testing.TB, where string) openedStore {
	t.Helper()
	if strings.Contains(where, "://") {
		return openPostgres(t, where)
	}
	return openStore(t, where)
}

func wordsOf(store Store, sqlite, postgres string) string {
	if _, ok := store.(*Postgres); ok {
		return postgres
	}
	return sqlite
}

// waitingUpdates is how many updates wait behind the one that is being worked on.
func waitingUpdates(store Store) int {
	switch s := store.(type) {
	case *SQLite:
		return len(s.writer.requests)
	case *Postgres:
		s.mu.Lock()
		defer s.mu.Unlock()
		if l, ok := s.lanes[""]; ok {
			return len(l.waiting)
		}
	}
	return 0
}

func TestTextsOfOthersAreKeptAsFarAsEveryEngineTakesThem(t *testing.T) {
	store := newStore(t)
	run := addRun(t, store, "uid")
	worker := &Worker{RunID: run.ID, PodUID: "pod", Device: "GPU\x00-0", State: WorkerLive, Executing: -1}
	write(t, store, func(tx *Tx) error { return tx.PutWorker(worker) })
	write(t, store, func(tx *Tx) error { return tx.PutWorker(worker) })
	write(t, store, func(tx *Tx) error {
		_, err := tx.SetStartup("uid", "pod", "A\x00100", "a line\xff\x00\nanother")
		return err
	})
	var got *Worker
	if err := store.View(ctx, func(tx *Tx) (err error) {
		got, err = tx.Worker(run.ID, types.UID("pod"))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if got.Device != "GPU-0" || got.GPUProduct != "A100" || got.StartupLog != "a line\uFFFD\nanother" {
		t.Errorf("the texts are %q, %q, %q", got.Device, got.GPUProduct, got.StartupLog)
	}
}
